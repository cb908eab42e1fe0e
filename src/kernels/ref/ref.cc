#include "kernels/tables.h"
namespace tern::kernels { const KernelTable& RefTable() { static const KernelTable t{}; return t; } const KernelTable& Avx2Table() { return RefTable(); } const KernelTable& Avx512Table() { return RefTable(); } }
