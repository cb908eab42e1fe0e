# What `cmake --install` lays out, where the program looks for it: the models in share/tern/models beside bin (BundledModel
# in src/cli/common.cc), the module for MPI in lib/tern (FindModule in src/train/launch.cc). The folder can be moved as a
# whole. The rooms' libraries are parts of the program, not an interface: they stay in the build.
install(TARGETS tern RUNTIME DESTINATION bin)
if(TARGET tern_mpi)
  install(TARGETS tern_mpi LIBRARY DESTINATION lib/tern)
endif()
install(DIRECTORY models/ DESTINATION share/tern/models)
install(FILES LICENSE README.md DESTINATION share/doc/tern)
