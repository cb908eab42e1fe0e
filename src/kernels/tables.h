// Internal: the tables that the levels' files define.
#pragma once

#include "kernels/ops.h"

namespace tern::kernels {

const KernelTable& RefTable();
const KernelTable& Avx2Table();
const KernelTable& Avx512Table();

}  // namespace tern::kernels
