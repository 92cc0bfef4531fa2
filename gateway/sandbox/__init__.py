"""A confined child process for files from outside: spreadsheets, images, PDFs.

Parsers of such files are large, written in C or Rust, and strangers control their input. Here a
*reader* (a Python file with a ``read`` function) runs on the bytes of one file in a process of its
own; its items are sent back one by one. A damaged or hostile file can end only that process. A
reader that takes long to load stays in its process for some files (:mod:`gateway.sandbox.warm`).

The limits of the process:

=====================  ==============  =======  ===========
limit                  Linux           macOS    Windows
=====================  ==============  =======  ===========
wall-clock time        yes             yes      yes
CPU time               rlimit          rlimit   Job object
memory                 rlimit (3)      no (1)   Job object
environment, secrets   emptied         emptied  emptied
writing files          rlimit          rlimit   no
network                seccomp (2)     no       no
starting processes     seccomp (2)     no       Job object
=====================  ==============  =======  ===========

(1) The kernel accepts the limit and doesn't enforce it. (2) On x86-64 and arm64; needs no root. A
kernel without seccomp runs the reader without it. (3) And, where a reader asks for it, a look at
what is resident, four times a second. Reading files isn't restricted on any system: treat
everything that a reader returns as untrusted content.
"""
