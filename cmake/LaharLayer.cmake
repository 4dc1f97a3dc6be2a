# Layers: one static library per folder of the tree, so that a layer builds and tests without the ones above it.

add_library(lahar_options INTERFACE)
target_include_directories(lahar_options INTERFACE ${PROJECT_SOURCE_DIR}/runtime ${PROJECT_SOURCE_DIR}/runtime/include ${PROJECT_SOURCE_DIR}/model
                                                   ${PROJECT_SOURCE_DIR}/shaders/include)
target_compile_options(lahar_options INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(lahar_options INTERFACE -Wno-restrict)  # false alarms on string concatenation: gcc.gnu.org/PR105651
endif()
if(LAHAR_SANITIZE)
  target_compile_options(lahar_options INTERFACE -fsanitize=${LAHAR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(lahar_options INTERFACE -fsanitize=${LAHAR_SANITIZE})
endif()

# lahar_layer(NAME SOURCES file... DEPENDS target...): the library lahar_NAME. Layers outside apps/ and tests/ become part of the
# installed library (install.cmake).
function(lahar_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(lahar_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(lahar_${name} PUBLIC lahar_options ${ARG_DEPENDS})
  if(NOT CMAKE_CURRENT_SOURCE_DIR MATCHES "^${PROJECT_SOURCE_DIR}/(apps|tests)")
    set_property(GLOBAL APPEND PROPERTY LAHAR_LAYERS lahar_${name})
  endif()
endfunction()
