# Lets CMake packages build against the ROS 2 wheels.
#
# The wheels export the Python include folder of the machine that built them (/opt/python/...), and CMake refuses an
# imported target whose include folder does not exist. Passed as CMAKE_PROJECT_INCLUDE: once the project has found its
# packages, such folders are taken off their targets. Nothing here compiles against them: each generator finds this
# machine's own Python.

function(forget_missing_include_folders)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(folders "${target}" INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT folders)
      continue()
    endif()
    set(present "")
    foreach(folder IN LISTS folders)
      if(IS_ABSOLUTE "${folder}" AND NOT EXISTS "${folder}")
        message(VERBOSE "${target}: include folder ${folder} is not on this machine")
      else()
        list(APPEND present "${folder}")
      endif()
    endforeach()
    set_property(TARGET "${target}" PROPERTY INTERFACE_INCLUDE_DIRECTORIES "${present}")
  endforeach()
endfunction()

cmake_language(DEFER CALL forget_missing_include_folders)
