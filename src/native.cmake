# What a native build needs besides the library: the rounding of 32-bit x86, and the tests.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(i.86|x86|x86_64|AMD64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 4)
  add_compile_options(-msse2 -mfpmath=sse)  # the x87 unit would round to 80 bits
endif()

if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
  list(APPEND core src/f32x8.c)
  add_compile_definitions(RMS_VECTORS)
endif()

set(CMAKE_POSITION_INDEPENDENT_CODE ON)  # the static library may become part of a shared one

include(CTest)
if(BUILD_TESTING AND EXISTS ${PROJECT_SOURCE_DIR}/tests/native)  # the npm package comes without
  add_subdirectory(tests/native)
  add_subdirectory(tests/mpi)
endif()
