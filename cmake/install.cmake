# The library an application links: all layers in one, with a CMake package (find_package(lahar), lahar::lahar, lahar::pumice)
# and pkg-config files (lahar, lahar-pumice). Only where the C API is built.
if(NOT TARGET lahar_api)
  return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(layers GLOBAL PROPERTY LAHAR_LAYERS)
set(objects "")
foreach(layer IN LISTS layers)
  list(APPEND objects $<TARGET_OBJECTS:${layer}>)
endforeach()
set(private_libraries PkgConfig::PCRE2 Threads::Threads ${CMAKE_DL_LIBS})

# lahar_shared_rules(TARGET): what a shared library of Lahar exports is the C API, nothing of C++ or of the headers it includes
function(lahar_shared_rules target)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    target_link_options(${target} PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/lahar.map -Wl,--no-undefined)
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/lahar.map)
  endif()
endfunction()

add_library(lahar ${objects})
add_library(lahar::lahar ALIAS lahar)
set_target_properties(lahar PROPERTIES LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
target_include_directories(lahar PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/runtime/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(lahar PRIVATE ${private_libraries})
set(LAHAR_PC_PRIVATE "-pthread -ldl -lm")
get_target_property(kind lahar TYPE)
if(kind STREQUAL "SHARED_LIBRARY")
  lahar_shared_rules(lahar)
elseif(CMAKE_CXX_IMPLICIT_LINK_LIBRARIES MATCHES "stdc\\+\\+|c\\+\\+")
  # A program in C links the static library too: it has to be told which C++ library that needs.
  string(REGEX MATCH "stdc\\+\\+|c\\+\\+" cxx_library "${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES}")
  target_link_libraries(lahar INTERFACE ${cxx_library} m)
  string(PREPEND LAHAR_PC_PRIVATE "-l${cxx_library} ")
endif()

install(TARGETS lahar lahar_pumice EXPORT lahar-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
set_target_properties(lahar_pumice PROPERTIES EXPORT_NAME pumice)
target_include_directories(lahar_pumice INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(DIRECTORY runtime/include/lahar DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lahar)
install(EXPORT lahar-targets NAMESPACE lahar:: DESTINATION ${package_dir})
configure_package_config_file(cmake/lahar-config.cmake.in ${PROJECT_BINARY_DIR}/cmake/lahar-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cmake/lahar-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cmake/lahar-config.cmake ${PROJECT_BINARY_DIR}/cmake/lahar-config-version.cmake DESTINATION ${package_dir})

# The prefix is found from where the file lies, so that an installed tree can be moved.
file(RELATIVE_PATH LAHAR_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/lahar.pc.in ${PROJECT_BINARY_DIR}/cmake/lahar.pc @ONLY)
configure_file(cmake/lahar-pumice.pc.in ${PROJECT_BINARY_DIR}/cmake/lahar-pumice.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cmake/lahar.pc ${PROJECT_BINARY_DIR}/cmake/lahar-pumice.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
