// The table of this instruction set's functions; LORIKEET_TILE_OPS names it. Included last.

}  // namespace

const TileOps LORIKEET_TILE_OPS = {LORIKEET_ISA_NAME, kPack,     kUnitStep, kLanes,  pack_rows,
                                   pack_columns,      row_dots,  sum_parts, forward, backward};

}  // namespace lorikeet::cpu::attention
