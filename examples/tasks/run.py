"""All experiments: ``python examples/tasks/run.py`` measures them and writes docs/results.md and its pictures."""

import adding
import copy_memory
import min_char_rnn
import temporal_order
from report import main

if __name__ == "__main__":
    main([adding.TASK, copy_memory.TASK, temporal_order.TASK, min_char_rnn.TASK])
