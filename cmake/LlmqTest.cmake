# Environment of tests that start ranks: any number on any machine, as root too, one thread each,
# without a search for networks and graphics cards at each start.
set(LLMQ_MPI_ENVIRONMENT OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl=self,vader
    OMPI_MCA_pml=ob1 HWLOC_COMPONENTS=-gl,-opencl OMPI_MCA_mpi_yield_when_idle=1 OMP_NUM_THREADS=1)
set(LLMQ_TEST_TIMEOUT_FACTOR 1)
if(LLMQ_SANITIZE)
  set(LLMQ_TEST_TIMEOUT_FACTOR 5)
  # The leak check follows thread-local storage of libraries that were closed again (Open MPI's plug-ins) unless told
  # not to watch it, and dies of that.
  list(APPEND LLMQ_MPI_ENVIRONMENT LLMQ_SLOW=1 ASAN_OPTIONS=fast_unwind_on_malloc=0:intercept_tls_get_addr=0
       LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/lsan.supp:print_suppressions=0
       UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1)
endif()

# llmq_set_timeout(test seconds): longer where sanitizers slow everything down.
function(llmq_set_timeout NAME SECONDS)
  math(EXPR seconds "${SECONDS} * ${LLMQ_TEST_TIMEOUT_FACTOR}")
  set_tests_properties(${NAME} PROPERTIES TIMEOUT ${seconds})
endfunction()

# llmq_add_unit_test(name SOURCES ... ROOMS ...): ctest `unit.<name>`, label unit. Tests reach src/ headers of the
# rooms they name; test data stands in tests/data (LLMQ_TEST_DATA).
function(llmq_add_unit_test NAME)
  cmake_parse_arguments(T "" "" "SOURCES;ROOMS;PACKAGES" ${ARGN})
  add_executable(test_${NAME} ${T_SOURCES})
  target_include_directories(test_${NAME} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(test_${NAME} PRIVATE LLMQ_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data"
                             $<$<BOOL:${LLMQ_SANITIZE}>:LLMQ_SANITIZED>)   # some tests do less of the same there
  target_link_libraries(test_${NAME} PRIVATE ${T_ROOMS} ${T_PACKAGES} fmt::fmt nlohmann_json::nlohmann_json
                        GTest::gtest GTest::gmock GTest::gtest_main llmq_warnings)
  target_compile_options(test_${NAME} PRIVATE $<$<CONFIG:Release>:-O1>)  # quick to compile; what they test is as ever
  add_test(NAME unit.${NAME} COMMAND test_${NAME})
  set_tests_properties(unit.${NAME} PROPERTIES LABELS unit ENVIRONMENT "${LLMQ_MPI_ENVIRONMENT}")
  llmq_set_timeout(unit.${NAME} 600)
endfunction()
