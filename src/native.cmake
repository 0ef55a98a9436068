# The native static library and its tests.
set(core src/step.c src/f32x1.c)
set(core_sources ${core})
list(TRANSFORM core_sources PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)

add_library(rmsprop STATIC ${core})
add_library(rmsprop::rmsprop ALIAS rmsprop)
target_include_directories(rmsprop PUBLIC include)
if(UNIX)
  target_link_libraries(rmsprop PUBLIC m)
endif()

include(CTest)
if(BUILD_TESTING)
  add_subdirectory(tests/native)
endif()
