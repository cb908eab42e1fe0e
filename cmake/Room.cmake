# A room is one folder of src/ and one static library. tern_room(formats USES base tensor LINKS foo) builds
# every .cc of the folder into tern_formats. Sources are found by globbing (with CONFIGURE_DEPENDS, so a new
# file is noticed by the next build): adding a file to a room never touches a list.
function(tern_room name)
  cmake_parse_arguments(ROOM "" "" "USES;LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  add_library(tern_${name} STATIC ${sources})
  target_include_directories(tern_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  if(TERN_FUZZ)  # coverage guides the fuzzers through the rooms; commands, tests and kernels build twice as fast without
    target_compile_options(tern_${name} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
  list(TRANSFORM ROOM_USES PREPEND tern_)
  target_link_libraries(tern_${name} PUBLIC ${ROOM_USES} ${ROOM_LINKS})
endfunction()

# Headers that most files of a target include, read once in the builds with sanitizers (Clang's): half of the time that a
# small file takes to compile. With ccache they would be in the way.
function(tern_precompile target)
  if(TERN_SANITIZE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# tern_room_test(formats): every tests/formats/*_test.cc in one program, each test a ctest entry.
function(tern_room_test name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_test.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(tern_${name}_test ${sources})
  target_include_directories(tern_${name}_test PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(tern_${name}_test PRIVATE $<$<CONFIG:Release>:-O1>)  # the tested code has its own flags
  if(TERN_SANITIZE AND NOT name MATCHES "^(kernels|tensor|train|text)$")
    # These tests compute little themselves and compile in half the time so; the others have loops of their own.
    target_compile_options(tern_${name}_test PRIVATE -O0)
  endif()
  target_link_libraries(tern_${name}_test PRIVATE ${ARGN} tern_testing GTest::gtest GTest::gmock)
  tern_precompile(tern_${name}_test <gtest/gtest.h> <gmock/gmock.h> <nlohmann/json.hpp>)
  # NO_PRETTY_VALUES: a parameterised test is named by its own name, without the value that GoogleTest prints behind it.
  gtest_discover_tests(tern_${name}_test TEST_PREFIX ${name}. NO_PRETTY_VALUES DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
endfunction()
