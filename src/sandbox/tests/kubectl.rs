//! A stock kubectl against the sandbox. `DEPD_TEST_KUBECTL` names it; without it this is skipped.
