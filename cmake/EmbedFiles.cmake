# Files that become part of the program, compressed. As a module:
#
#   tern_embed_files(LIST lines… OUTPUT generated.cc)
#
# where each line is NAME|PATH. The generated source defines EmbeddedPageFiles() (src/serve/page_files.h). The bytes come in
# by the assembler's .incbin: an array of that size in C++ takes a compiler longer than the rest of the room.
# Run as a script (cmake -P) by the build, whenever one of the files has changed, it does the work.
if(CMAKE_SCRIPT_MODE_FILE)
  file(STRINGS "${LIST_FILE}" lines)
  get_filename_component(folder "${OUTPUT}" DIRECTORY)
  set(blobs "")
  set(symbols "")
  set(entries "")
  set(number 0)
  foreach(line IN LISTS lines)
    string(REGEX MATCH "^([^|]*)[|](.*)$" _ "${line}")
    set(name "${CMAKE_MATCH_1}")
    set(path "${CMAKE_MATCH_2}")
    set(blob "${folder}/page_${number}.gz")
    execute_process(COMMAND "${GZIP}" -9nc "${path}" OUTPUT_FILE "${blob}" RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR "${GZIP} could not compress ${path}")
    endif()
    file(SHA256 "${path}" hash)
    string(SUBSTRING "${hash}" 0 16 hash)
    file(SIZE "${path}" size)
    set(symbol "tern_page_file_${number}")
    string(APPEND blobs "    \".global ${symbol}, ${symbol}_end\\n${symbol}: .incbin \\\"${blob}\\\"\\n${symbol}_end:\\n\"\n")
    string(APPEND symbols "extern \"C\" const char ${symbol}[], ${symbol}_end[];\n")
    string(APPEND entries "      {\"${name}\", {${symbol}, ${symbol}_end}, ${size}, \"${hash}\"},\n")
    math(EXPR number "${number} + 1")
  endforeach()
  file(WRITE "${OUTPUT}" "// Written by cmake/EmbedFiles.cmake.
#include \"serve/page_files.h\"

asm(\".section .rodata\\n\"
${blobs}    \".previous\\n\");
${symbols}
namespace tern::serve {

const std::vector<EmbeddedFile>& EmbeddedPageFiles() {
  static const std::vector<EmbeddedFile> files = {
${entries}  };
  return files;
}

}  // namespace tern::serve
")
  return()
endif()

set(TERN_EMBED_SCRIPT "${CMAKE_CURRENT_LIST_FILE}")

function(tern_embed_files)
  cmake_parse_arguments(EMBED "" "OUTPUT" "LIST" ${ARGN})
  find_program(TERN_GZIP gzip REQUIRED)
  set(list_file "${EMBED_OUTPUT}.list")
  list(JOIN EMBED_LIST "\n" text)
  file(GENERATE OUTPUT "${list_file}" CONTENT "${text}\n")  # touched only when it changes
  set(inputs "${list_file}" "${TERN_EMBED_SCRIPT}")
  foreach(line IN LISTS EMBED_LIST)
    string(REGEX REPLACE "^[^|]*[|]" "" path "${line}")
    list(APPEND inputs "${path}")
  endforeach()
  add_custom_command(
    OUTPUT "${EMBED_OUTPUT}"
    COMMAND ${CMAKE_COMMAND} -DLIST_FILE=${list_file} -DOUTPUT=${EMBED_OUTPUT} -DGZIP=${TERN_GZIP} -P ${TERN_EMBED_SCRIPT}
    DEPENDS ${inputs}
    COMMENT "Compressing the page" VERBATIM)
endfunction()
