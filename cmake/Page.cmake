# The web page's files: our own from web/, and the libraries that Debian packages. Nothing of theirs is in the tree.
include(cmake/EmbedFiles.cmake)

# tern_page_library(out FILE name PACKAGE package PATHS …): an error names the package to install.
function(tern_page_library out)
  cmake_parse_arguments(LIBRARY "" "FILE;PACKAGE" "PATHS" ${ARGN})
  find_file(${out} ${LIBRARY_FILE} PATHS ${LIBRARY_PATHS} NO_DEFAULT_PATH)
  if(NOT ${out})
    message(FATAL_ERROR "The page needs ${LIBRARY_FILE}, which is in Debian's package ${LIBRARY_PACKAGE} "
                        "(tools/install-dependencies installs it; elsewhere set -D${out}=PATH)")
  endif()
endfunction()

function(tern_write_if_different path text)
  file(WRITE "${path}.new" "${text}")
  file(COPY_FILE "${path}.new" "${path}" ONLY_IF_DIFFERENT)
  file(REMOVE "${path}.new")
endfunction()

# Highlighting comes as one file of 185 languages, 270 KB compressed. The page loads its core with the first block of code
# and each language when a block names it, so here the file is cut up: core.js and NAME.js, for the languages that people
# write to models in.
function(tern_split_highlight source folder languages)
  file(MAKE_DIRECTORY "${folder}")
  file(READ "${source}" text)
  set(mark "hljs.registerLanguage(\"")
  string(FIND "${text}" "${mark}" end)
  string(SUBSTRING "${text}" 0 ${end} core)
  tern_write_if_different("${folder}/core.js" "${core}")
  foreach(language IN LISTS languages)
    string(FIND "${text}" "${mark}${language}\"," begin)
    if(begin EQUAL -1)
      message(FATAL_ERROR "${source} has no language ${language}: web/js/languages.js must name those that are there")
    endif()
    string(SUBSTRING "${text}" ${begin} -1 rest)
    string(SUBSTRING "${rest}" 1 -1 after)
    string(FIND "${after}" "${mark}" length)
    if(NOT length EQUAL -1)
      math(EXPR length "${length} + 1")
    endif()
    string(SUBSTRING "${rest}" 0 ${length} rest)
    tern_write_if_different("${folder}/${language}.js" "${rest}")
  endforeach()
endfunction()

# tern_page(target): adds the page's files to a room.
function(tern_page target)
  set(javascript /usr/share/javascript)
  tern_page_library(TERN_MARKED_JS FILE marked.min.js PACKAGE libjs-marked PATHS ${javascript}/marked)
  tern_page_library(TERN_DOMPURIFY_JS FILE purify.min.js PACKAGE node-dompurify
                    PATHS /usr/share/nodejs/dompurify/dist /usr/share/javascript/dompurify)
  tern_page_library(TERN_HIGHLIGHT_JS FILE highlight.min.js PACKAGE libjs-highlight.js PATHS ${javascript}/highlight.js)
  tern_page_library(TERN_CHART_JS FILE chart.min.js PACKAGE libjs-chart.js PATHS ${javascript}/chart.js)

  set(web ${PROJECT_SOURCE_DIR}/web)
  file(GLOB_RECURSE own CONFIGURE_DEPENDS RELATIVE ${web} ${web}/*.html ${web}/*.css ${web}/*.js ${web}/*.json ${web}/*.svg)
  list(REMOVE_ITEM own package.json)  # for node alone, which runs the tests: the scripts are modules
  set(files "")
  foreach(file IN LISTS own)
    list(APPEND files "${file}|${web}/${file}")
  endforeach()
  list(APPEND files "vendor/marked.js|${TERN_MARKED_JS}" "vendor/purify.js|${TERN_DOMPURIFY_JS}"
       "vendor/chart.js|${TERN_CHART_JS}")

  # The list of languages is the page's own: one place.
  file(STRINGS ${web}/js/languages.js lines REGEX "^  [a-z'].*: '")
  set(languages "")
  foreach(line IN LISTS lines)
    string(REGEX MATCH "^  '?([a-z-]+)'?:" _ "${line}")
    list(APPEND languages ${CMAKE_MATCH_1})
  endforeach()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${web}/js/languages.js)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/page)
  tern_split_highlight("${TERN_HIGHLIGHT_JS}" ${folder}/highlight "${languages}")
  foreach(language IN ITEMS core LISTS languages)
    list(APPEND files "vendor/highlight/${language}.js|${folder}/highlight/${language}.js")
  endforeach()

  tern_embed_files(LIST ${files} OUTPUT ${folder}/page_files.cc)
  target_sources(${target} PRIVATE ${folder}/page_files.cc)
endfunction()
