# `cmake --install` copies the headers and what find_package(mat) reads. There is nothing to compile.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(MAT_CONFIG_DIR ${CMAKE_INSTALL_DATADIR}/cmake/mat)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/matConfig.cmake.in ${PROJECT_BINARY_DIR}/matConfig.cmake
                              INSTALL_DESTINATION ${MAT_CONFIG_DIR})
# Before 1.0 a minor version may break its users.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/matConfigVersion.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)

install(TARGETS mat EXPORT matTargets)
install(EXPORT matTargets NAMESPACE mat:: DESTINATION ${MAT_CONFIG_DIR})
install(FILES ${PROJECT_BINARY_DIR}/matConfig.cmake ${PROJECT_BINARY_DIR}/matConfigVersion.cmake
        DESTINATION ${MAT_CONFIG_DIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/mat DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
