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
  target_compile_options(llmq_options INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer)
  target_link_options(llmq_options INTERFACE -fsanitize=address,undefined)
  if(LLMQ_FUZZ)
    target_compile_options(llmq_options INTERFACE -fsanitize=fuzzer-no-link)
  endif()
endif()

# llmq_add_room(name SOURCES ... DEPENDS other rooms ... PACKAGES external targets ...)
function(llmq_add_room NAME)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPENDS;PACKAGES" ${ARGN})
  add_library(llmq_${NAME} STATIC ${ROOM_SOURCES})
  add_library(llmq::${NAME} ALIAS llmq_${NAME})
  target_include_directories(llmq_${NAME} PUBLIC ${CMAKE_SOURCE_DIR}/include
                                          PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(llmq_${NAME} PUBLIC ${ROOM_DEPENDS} llmq_options PRIVATE ${ROOM_PACKAGES} llmq_warnings)
endfunction()
