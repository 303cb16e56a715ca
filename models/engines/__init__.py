"""Engines: ways to run the style network, with one interface.

eager      PyTorch as it is: always works
compile    torch.compile: needs a C++ compiler (CPU) or Triton (CUDA); fastest
openvino   Intel's runtime, on any x86 or Arm CPU: needs no compiler
aot        what compile runs on a CPU: torch's compiler, ahead of time in another process
native     what compile runs on a CPU, in float32 and AVX512-BF16: C++ for this network
"""
