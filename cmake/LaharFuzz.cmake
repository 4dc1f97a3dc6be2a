# libFuzzer targets: every layer is compiled with the fuzzer's coverage, each target links its driver.
if(NOT LAHAR_FUZZ)
  return()
endif()
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "LAHAR_FUZZ needs Clang (cmake --preset fuzz)")
endif()
target_compile_options(lahar_options INTERFACE -fsanitize=fuzzer-no-link)
add_custom_target(fuzzers)
file(WRITE ${CMAKE_BINARY_DIR}/fuzzers.txt "")

# `fuzzers` builds them all, fuzzers.txt lists them.
# lahar_fuzz(NAME SOURCES file... DEPENDS target...): the program fuzz_NAME, which scripts/test runs with tests/fuzz/seeds/NAME (if that
# is there) for its first inputs. One of the sources defines LLVMFuzzerTestOneInput.
function(lahar_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(fuzz_${name} ${ARG_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE lahar_options ${ARG_DEPENDS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzzers fuzz_${name})
  file(APPEND ${CMAKE_BINARY_DIR}/fuzzers.txt "fuzz_${name}\n")
endfunction()
