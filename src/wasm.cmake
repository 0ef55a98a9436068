# The WebAssembly modules. All are leaf modules: no memory of their own, no data, no table, no stack pointer, nothing
# imported but env.memory, so that they can be instantiated on any memory (tests/unit/kernels.test.js holds them to it).

# add_leaf_module(<name> EXPORTS <file, one symbol a line> SOURCES <files> [INCLUDES <folders>]
#                 [OPTIONS <compile and link>] [LINK_OPTIONS <link>])
function(add_leaf_module name)
  cmake_parse_arguments(PARSE_ARGV 1 leaf "" "EXPORTS" "SOURCES;INCLUDES;OPTIONS;LINK_OPTIONS")
  get_filename_component(exports ${leaf_EXPORTS} ABSOLUTE)
  add_executable(${name} ${leaf_SOURCES})
  target_include_directories(${name} PRIVATE ${leaf_INCLUDES})
  target_compile_options(${name} PRIVATE -fvisibility=hidden ${leaf_OPTIONS})
  target_link_options(${name} PRIVATE -O3 -sSIDE_MODULE=2 -sEXPORTED_FUNCTIONS=@${exports} ${leaf_OPTIONS} ${leaf_LINK_OPTIONS})
  set_target_properties(${name} PROPERTIES SUFFIX .wasm LINK_DEPENDS ${exports})
endfunction()

# add_kernels(<name> [SOURCES <besides the one-lane kernels>] [OPTIONS <compile and link>] [LINK_OPTIONS <link>])
# -Os: -O2 and -O3 copy loops to hoist their flags, for more bytes and no time less.
function(add_kernels name)
  cmake_parse_arguments(PARSE_ARGV 1 kernels "" "" "SOURCES;OPTIONS;LINK_OPTIONS")
  add_leaf_module(${name} EXPORTS src/exports.txt SOURCES ${core} ${kernels_SOURCES} INCLUDES include
    OPTIONS -Os -fno-jump-tables ${kernels_OPTIONS} LINK_OPTIONS ${kernels_LINK_OPTIONS})
endfunction()

# All rules: to be handed over as a file.
add_kernels(rmsprop SOURCES ${lanes} OPTIONS -msimd128)
add_kernels(rmsprop.shared SOURCES ${lanes} OPTIONS -msimd128 -matomics -mbulk-memory
  LINK_OPTIONS -Wl,--shared-memory,--max-memory=4294967296)
# All rules, for engines without SIMD.
add_kernels(rmsprop.scalar)
# The rules of one family (rules.h): what the entries embed.
foreach(family keras tensorflow torch optax)
  add_kernels(rmsprop.${family} SOURCES ${lanes} OPTIONS -msimd128 -DRMS_FAMILY=${family})
endforeach()

# Where the fields of the C structs lie, for the binding: a program that prints them as JSON, run when the modules are embedded.
add_executable(layout src/layout.c)
target_include_directories(layout PRIVATE include)
# -O0: else emcc wants the JavaScript package acorn to shrink its glue. Synchronous: else the glue of emcc 3.1.6 takes the
# fetch of newer Nodes for a browser's.
target_link_options(layout PRIVATE -O0 -sWASM_ASYNC_COMPILATION=0)

# The model that the demo and the main job train; the npm package comes without.
if(EXISTS ${PROJECT_SOURCE_DIR}/web-demo/model)
  set(dense web-demo/model/dense.c web-demo/model/dense_f32x1.c)
  add_leaf_module(dense EXPORTS web-demo/model/exports.txt SOURCES ${dense} web-demo/model/dense_f32x4.c INCLUDES src OPTIONS -msimd128)
endif()
