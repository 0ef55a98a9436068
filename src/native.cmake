# The native static library and its tests.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(i.86|x86|x86_64|AMD64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 4)
  add_compile_options(-msse2 -mfpmath=sse)  # the x87 unit would round to 80 bits
endif()

set(core src/step.c src/f32x1.c src/f64x1.c)
set(core_sources ${core})
list(TRANSFORM core_sources PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)

add_library(rmsprop STATIC ${core})
add_library(rmsprop::rmsprop ALIAS rmsprop)
target_include_directories(rmsprop PUBLIC include)
if(UNIX)
  target_link_libraries(rmsprop PUBLIC m)
endif()

include(CTest)
if(BUILD_TESTING AND EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/tests/native)  # the npm package comes without
  add_subdirectory(tests/native)
endif()
