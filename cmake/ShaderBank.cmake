# What shaders/CMakeLists.txt is made of.

set(SHADER_FEATURES float16 int8_dot cooperative_matrix storage16 storage8 small_int half_sums int8_matrix
    matrix_elements flexible_matrix tensor_matrix)
set(SHADER_FEATURE_float16 kFloat16)
set(SHADER_FEATURE_int8_dot kInt8Dot)
set(SHADER_FEATURE_cooperative_matrix kCooperativeMatrix)
set(SHADER_FEATURE_storage16 kStorage16)
set(SHADER_FEATURE_storage8 kStorage8)
set(SHADER_FEATURE_small_int kSmallInt)
set(SHADER_FEATURE_half_sums kHalfSums)
set(SHADER_FEATURE_int8_matrix kInt8Matrix)
set(SHADER_FEATURE_matrix_elements kMatrixElements)
set(SHADER_FEATURE_flexible_matrix kFlexibleMatrix)
set(SHADER_FEATURE_tensor_matrix kTensorMatrix)

# lahar_probe_shader_compiler(FEATURE WHAT): sets SHADER_MISSING_<FEATURE> where probes/FEATURE.comp does not compile.
# Asked once per compiler.
function(lahar_probe_shader_compiler feature what)
  set(known LAHAR_SHADER_PROBE_${feature})
  if(NOT "${${known}_BY}" STREQUAL "${LAHAR_GLSLC}")
    execute_process(COMMAND ${LAHAR_GLSLC} ${GLSLC_FLAGS} ${CMAKE_CURRENT_SOURCE_DIR}/probes/${feature}.comp -o
                            ${CMAKE_CURRENT_BINARY_DIR}/probe_${feature}.spv RESULT_VARIABLE result OUTPUT_QUIET ERROR_QUIET)
    set(${known} ${result} CACHE INTERNAL "0 where ${LAHAR_GLSLC} compiles it")
    set(${known}_BY "${LAHAR_GLSLC}" CACHE INTERNAL "")
  endif()
  if(NOT "${${known}}" STREQUAL "0")
    message(STATUS "Notice: ${LAHAR_GLSLC} is too old for ${what}; the kernel variants that need them are left out")
    set(SHADER_MISSING_${feature} TRUE PARENT_SCOPE)
  endif()
endfunction()

# lahar_json_member(OUT JSON MEMBER): empty where there is no such member
function(lahar_json_member out json)
  string(JSON value ERROR_VARIABLE error GET "${json}" ${ARGN})
  if(error)
    set(value "")
  endif()
  set(${out} "${value}" PARENT_SCOPE)
endfunction()

function(lahar_json_length out json)
  string(JSON value ERROR_VARIABLE error LENGTH "${json}" ${ARGN})
  if(error)
    set(value 0)
  endif()
  set(${out} "${value}" PARENT_SCOPE)
endfunction()

# lahar_add_shader(KERNEL SOURCE VARIANT-JSON): one custom command, and one entry in each of the lists that become the bank
function(lahar_add_shader kernel source variant_json)
  lahar_json_member(variant "${variant_json}" variant)
  set(id ${kernel})
  if(variant)
    set(id ${kernel}_${variant})
  endif()
  if(NOT id MATCHES "^[a-z][a-z0-9_]*$" OR id STREQUAL "count")
    message(FATAL_ERROR "kernels.json: \"${id}\" is no name for a kernel: small letters, digits and _")
  endif()
  if(id IN_LIST SHADER_IDS)
    message(FATAL_ERROR "kernels.json: ${id} is there twice")
  endif()

  set(defines "")
  set(flags "")
  lahar_json_length(n_defines "${variant_json}" defines)
  if(n_defines GREATER 0)
    math(EXPR last "${n_defines} - 1")
    foreach(i RANGE ${last})
      string(JSON key MEMBER "${variant_json}" defines ${i})
      string(JSON value GET "${variant_json}" defines ${key})
      list(APPEND flags -D${key}=${value})
      string(APPEND defines "${key}=${value}\\n")
    endforeach()
  endif()

  set(features 0)
  set(dropped FALSE)
  lahar_json_length(n_requires "${variant_json}" requires)
  if(n_requires GREATER 0)
    math(EXPR last "${n_requires} - 1")
    foreach(i RANGE ${last})
      string(JSON feature GET "${variant_json}" requires ${i})
      if(NOT feature IN_LIST SHADER_FEATURES)
        message(FATAL_ERROR "kernels.json: ${id} requires \"${feature}\"; known are: ${SHADER_FEATURES}")
      endif()
      string(APPEND features " | ${SHADER_FEATURE_${feature}}")
      if(SHADER_MISSING_${feature})
        set(dropped TRUE)
      endif()
    endforeach()
  endif()

  set(path ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  if(NOT EXISTS ${path})
    message(FATAL_ERROR "kernels.json: the source of ${id}, shaders/${source}, is missing")
  endif()

  set(packed "")
  if(NOT dropped)
    set(spirv ${CMAKE_CURRENT_BINARY_DIR}/${id}.spv)
    add_custom_command(
      OUTPUT ${spirv}
      COMMAND ${LAHAR_GLSLC} ${GLSLC_FLAGS} ${flags} -MD -MF ${spirv}.d -MT ${spirv} -o ${spirv} ${path}
      COMMAND ${LAHAR_SPIRV_VAL} --target-env vulkan1.3 --scalar-block-layout ${spirv}
      DEPENDS ${path} DEPFILE ${spirv}.d
      COMMENT "Shader ${id}" VERBATIM)
    set(packed ${CMAKE_CURRENT_BINARY_DIR}/${id}.pack)
    add_custom_command(OUTPUT ${packed} COMMAND lahar_pack_shader ${spirv} ${packed} DEPENDS ${spirv} lahar_pack_shader
                       COMMENT "Packing ${id}" VERBATIM)
  endif()

  # The three lists run in parallel; an element is never empty.
  list(APPEND SHADER_IDS ${id})
  list(APPEND SHADER_SPIRV "${packed}")
  if(dropped)
    set(data "{}")
  else()
    set(data "{lahar_spirv_${id}_begin, lahar_spirv_${id}_end}")
    set(SHADER_EXTERNS "${SHADER_EXTERNS}extern const std::byte lahar_spirv_${id}_begin[], lahar_spirv_${id}_end[];\n")
    set(SHADER_INCBINS "${SHADER_INCBINS}SPIRV(lahar_spirv_${id}_begin, lahar_spirv_${id}_end, \"${packed}\")\n")
  endif()
  set(SHADER_ROWS "${SHADER_ROWS}    {\"${kernel}\", \"${variant}\", ${features}, ${data}, \"${source}\", \"${defines}\"},\n")
  set(SHADER_ENUM "${SHADER_ENUM}  ${id},\n")
  foreach(list SHADER_IDS SHADER_SPIRV SHADER_ROWS SHADER_ENUM SHADER_EXTERNS SHADER_INCBINS)
    set(${list} "${${list}}" PARENT_SCOPE)
  endforeach()
endfunction()

# lahar_read_kernels(FILE): a macro, because lahar_add_shader() collects in the caller's scope
macro(lahar_read_kernels file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} bank)
  string(JSON n_kernels ERROR_VARIABLE error LENGTH "${bank}" kernels)
  if(error)
    message(FATAL_ERROR "${file}: ${error}")
  endif()
  math(EXPR last_kernel "${n_kernels} - 1")
  foreach(k RANGE ${last_kernel})
    # A kernel is cut out first: string(JSON) parses all that it is given, each time.
    string(JSON kernel GET "${bank}" kernels ${k})
    string(JSON name GET "${kernel}" name)
    string(JSON source GET "${kernel}" source)
    lahar_json_length(n_variants "${kernel}" variants)
    if(n_variants EQUAL 0)
      string(JSON form SET "${kernel}" variant "\"\"")
      lahar_add_shader(${name} ${source} "${form}")
    else()
      math(EXPR last_variant "${n_variants} - 1")
      foreach(v RANGE ${last_variant})
        string(JSON form GET "${kernel}" variants ${v})
        string(JSON variant_name GET "${form}" name)
        string(JSON form SET "${form}" variant "\"${variant_name}\"")
        lahar_add_shader(${name} ${source} "${form}")
      endforeach()
    endif()
  endforeach()
endmacro()

# lahar_write_shader_bank(FOLDER): shader_ids.h, shader_bank.cpp and shader_bank.S there, only where they change; sets
# SHADER_BANK_SOURCES
macro(lahar_write_shader_bank folder)
  file(CONFIGURE OUTPUT ${folder}/shader_ids.h @ONLY CONTENT [[
// Made from shaders/kernels.json.
#pragma once
#include <cstdint>

namespace lahar::gpu {

enum class ShaderId : uint16_t {
@SHADER_ENUM@  kCount,
};

}  // namespace lahar::gpu
]])
  file(CONFIGURE OUTPUT ${folder}/shader_bank.cpp @ONLY CONTENT [[
// Made from shaders/kernels.json.
#include "gpu/shader_bank.h"

#include "gpu/features.h"

extern "C" {
@SHADER_EXTERNS@}

namespace lahar::gpu {
namespace {

struct Row {
  std::string_view name, variant;
  uint32_t required_features;
  struct {
    const std::byte* begin = nullptr;
    const std::byte* end = nullptr;
  } spirv;
  std::string_view source, defines;
};

// The last row stands for ids that are none.
const Row kRows[] = {
@SHADER_ROWS@    {"", "", 0, {}, "", ""},
};

}  // namespace

ShaderInfo shader_info(ShaderId id) {
  const Row& row = kRows[id < ShaderId::kCount ? static_cast<size_t>(id) : static_cast<size_t>(ShaderId::kCount)];
  return {row.name, row.variant, row.required_features, {row.spirv.begin, row.spirv.end}, row.source, row.defines};
}

}  // namespace lahar::gpu
]])
  file(CONFIGURE OUTPUT ${folder}/shader_bank.S @ONLY CONTENT [[
// Made from shaders/kernels.json. The assembler includes the SPIR-V: no compiler has to read it.
#ifdef __APPLE__
#define SYMBOL(name) _##name
#define HIDDEN(name) .private_extern _##name
    .section __TEXT,__const
#else
#define SYMBOL(name) name
#define HIDDEN(name) .hidden name
    .section .rodata.lahar_shaders, "a"
#endif
#define SPIRV(begin, end, file) HIDDEN(begin) ; HIDDEN(end) ; .global SYMBOL(begin) ; .global SYMBOL(end) ; SYMBOL(begin): ; .incbin file ; SYMBOL(end):

@SHADER_INCBINS@
#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
]])
  set(SHADER_BANK_SOURCES ${folder}/shader_bank.cpp ${folder}/shader_bank.S)
  list(REMOVE_ITEM SHADER_SPIRV "")
  set_source_files_properties(${folder}/shader_bank.S PROPERTIES OBJECT_DEPENDS "${SHADER_SPIRV};${CMAKE_CURRENT_BINARY_DIR}/size.txt")
  # The size is told whenever a variant was built. The list is in a file: a command line has its limits.
  string(JOIN "\n" spirv_list ${SHADER_SPIRV})
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/list.txt CONTENT "${spirv_list}\n" @ONLY)
  add_custom_command(
    OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/size.txt
    COMMAND ${CMAKE_COMMAND} -D LIST=${CMAKE_CURRENT_BINARY_DIR}/list.txt -D OUT=${CMAKE_CURRENT_BINARY_DIR}/size.txt
            -P ${PROJECT_SOURCE_DIR}/cmake/shader_size.cmake
    DEPENDS ${SHADER_SPIRV} ${CMAKE_CURRENT_BINARY_DIR}/list.txt ${PROJECT_SOURCE_DIR}/cmake/shader_size.cmake
    COMMENT "Shader bank" VERBATIM)
endmacro()
