# llmq_add_unit_test(name SOURCES ... ROOMS ...): ctest `unit.<name>`, label unit. Tests reach src/ headers of the
# rooms they name; test data stands in tests/data (LLMQ_TEST_DATA).
function(llmq_add_unit_test NAME)
  cmake_parse_arguments(T "" "" "SOURCES;ROOMS;PACKAGES" ${ARGN})
  add_executable(test_${NAME} ${T_SOURCES})
  target_include_directories(test_${NAME} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(test_${NAME} PRIVATE LLMQ_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")
  target_link_libraries(test_${NAME} PRIVATE ${T_ROOMS} ${T_PACKAGES} fmt::fmt nlohmann_json::nlohmann_json
                        GTest::gtest GTest::gmock GTest::gtest_main llmq_warnings)
  add_test(NAME unit.${NAME} COMMAND test_${NAME})
  set_tests_properties(unit.${NAME} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()
