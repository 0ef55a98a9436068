# The static library, native or for programs that Emscripten compiles, and what `cmake --install` puts where for
# find_package(rmsprop) and pkg-config. Nothing that is installed knows its prefix: the folder can be moved.
set(CMAKE_INSTALL_LIBDIR lib CACHE PATH "Where libraries go, on every system unless told otherwise")
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(rmsprop_static STATIC ${core})
set_target_properties(rmsprop_static PROPERTIES OUTPUT_NAME rmsprop EXPORT_NAME rmsprop)
target_include_directories(rmsprop_static PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
if(UNIX)
  target_link_libraries(rmsprop_static PUBLIC m)
  set(RMSPROP_PC_LIBRARIES " -lm")
endif()
if(EMSCRIPTEN)
  option(RMSPROP_SIMD "Use WebAssembly SIMD in the static library; the bits are the same without" ON)
  if(RMSPROP_SIMD)
    target_sources(rmsprop_static PRIVATE ${lanes})
    target_compile_options(rmsprop_static PRIVATE -msimd128)
  endif()
endif()
add_library(rmsprop::rmsprop ALIAS rmsprop_static)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/rmsprop)
write_basic_package_version_file(rmsprop-config-version.cmake COMPATIBILITY SameMinorVersion)
file(RELATIVE_PATH RMSPROP_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" RMSPROP_PC_PREFIX ${RMSPROP_PC_PREFIX})
configure_file(src/rmsprop.pc.in rmsprop.pc @ONLY)

install(TARGETS rmsprop_static EXPORT rmsprop ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/rmsprop.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT rmsprop NAMESPACE rmsprop:: FILE rmsprop-config.cmake DESTINATION ${package})
install(FILES ${PROJECT_BINARY_DIR}/rmsprop-config-version.cmake DESTINATION ${package})
install(FILES ${PROJECT_BINARY_DIR}/rmsprop.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
