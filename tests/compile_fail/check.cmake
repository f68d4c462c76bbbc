# Compiles FILE twice: without MAT_MUST_NOT_COMPILE it must compile, with it the compiler must refuse it with a message
# that matches the line "// Refused with: REGEX" of the file. So a test cannot pass because of a slip of the pen.
cmake_minimum_required(VERSION 3.25)
set(command ${CXX} -std=c++17 -fsyntax-only -I${SOURCE_DIR}/include)
foreach(directory ${EIGEN})
  list(APPEND command -isystem ${directory})
endforeach()

execute_process(COMMAND ${command} ${FILE} RESULT_VARIABLE result ERROR_VARIABLE errors)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${FILE} must compile without MAT_MUST_NOT_COMPILE:\n${errors}")
endif()

file(STRINGS ${FILE} expected REGEX "^// Refused with: ")
string(REPLACE "// Refused with: " "" expected "${expected}")
execute_process(COMMAND ${command} -DMAT_MUST_NOT_COMPILE ${FILE} RESULT_VARIABLE result ERROR_VARIABLE errors)
if(result EQUAL 0)
  message(FATAL_ERROR "${FILE} compiles with MAT_MUST_NOT_COMPILE")
endif()
if(NOT expected OR NOT errors MATCHES "${expected}")
  message(FATAL_ERROR "${FILE} must be refused with '${expected}', not with:\n${errors}")
endif()
