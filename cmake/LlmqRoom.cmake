# One static library a room; the DEPENDS list of each is the whole of what it may see.
add_library(llmq_warnings INTERFACE)
target_compile_options(llmq_warnings INTERFACE -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow
                       -Wnon-virtual-dtor -Woverloaded-virtual
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # g++ 12 sees overlap in std::string::replace that cannot be (GCC PR 105651)
if(LLMQ_WERROR)
  target_compile_options(llmq_warnings INTERFACE -Werror)
endif()

# -ffp-contract=off: a*b+c is never fused behind our back, so bytes agree between instruction sets.
add_library(llmq_options INTERFACE)
target_compile_options(llmq_options INTERFACE -ffp-contract=off)
target_compile_definitions(llmq_options INTERFACE LLMQ_VERSION="${PROJECT_VERSION}")
if(LLMQ_SANITIZE)
  target_compile_options(llmq_options INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer
                         -fno-sanitize=null,vptr,object-size,pointer-overflow)  # what the address sanitizer sees too
  target_link_options(llmq_options INTERFACE -fsanitize=address,undefined)
  if(LLMQ_FUZZ)
    target_compile_options(llmq_options INTERFACE -fsanitize=fuzzer-no-link)
  endif()
endif()

# Checked builds are not optimized, which takes a third of the time to compile, but for rooms that compute; and of the
# instruction sets they have one besides the plain one.
add_library(llmq_computes INTERFACE)
if(LLMQ_SANITIZE)
  target_compile_options(llmq_computes INTERFACE -O1 -fno-sanitize=alignment)
  target_compile_definitions(llmq_options INTERFACE HWY_DISABLED_TARGETS=\(HWY_SSSE3|HWY_SSE4|HWY_AVX3\)
                             HWY_BROKEN_EMU128=1)  # the plain one is the scalar one, as with g++
endif()

# Where units are joined (CMAKE_UNITY_BUILD, several sources a unit: headers are read once), these stand alone: sources
# with the local names of a neighbour, and kernels that compile themselves once an instruction set.
function(llmq_compile_alone)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# llmq_add_room(name SOURCES ... DEPENDS other rooms ... PACKAGES external targets ...)
function(llmq_add_room NAME)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPENDS;PACKAGES" ${ARGN})
  add_library(llmq_${NAME} STATIC ${ROOM_SOURCES})
  add_library(llmq::${NAME} ALIAS llmq_${NAME})
  target_include_directories(llmq_${NAME} PUBLIC ${CMAKE_SOURCE_DIR}/include
                                          PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(llmq_${NAME} PUBLIC ${ROOM_DEPENDS} llmq_options PRIVATE ${ROOM_PACKAGES} llmq_warnings)
endfunction()
