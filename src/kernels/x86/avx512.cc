// The avx512 table.
#include "kernels/tables.h"

namespace tern::kernels {

const KernelTable& Avx512Table() {
  static const KernelTable table = [] {
    KernelTable t = RefTable();
    t.level = Level::kAvx512;
    return t;
  }();
  return table;
}

}  // namespace tern::kernels
