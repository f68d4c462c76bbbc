# Builds and runs a user's project in a folder of its own, as WAY says: with the installed package, with the source as a
# subdirectory, or with FetchContent (of this source, so that nothing is downloaded). No warning may come up.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${BINARY_DIR})
set(arguments "")
if(WAY STREQUAL "find_package")
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${MAT_BINARY_DIR} --prefix ${BINARY_DIR}/prefix
                  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  list(APPEND arguments -D CMAKE_PREFIX_PATH=${BINARY_DIR}/prefix)
elseif(WAY STREQUAL "add_subdirectory")
  list(APPEND arguments -D MAT_FOLDER=${SOURCE_DIR})
else()
  list(APPEND arguments -D FETCHCONTENT_SOURCE_DIR_MAT=${SOURCE_DIR} -D MAT_REPOSITORY=offline)
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${CMAKE_CURRENT_LIST_DIR}/${WAY} -B ${BINARY_DIR}/build
                        -D CMAKE_CXX_COMPILER=${CXX} -D CMAKE_CXX_FLAGS=-Wall\ -Wextra\ -Wconversion\ -Wshadow\ -Werror
                        ${arguments}
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BINARY_DIR}/build COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${BINARY_DIR}/build/app COMMAND_ERROR_IS_FATAL ANY)
