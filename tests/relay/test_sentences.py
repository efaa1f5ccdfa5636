"""Where each sentence on the data plane is shown: what must hold, and by which tests.

====  ===========================================================================================
 no.  shown by
====  ===========================================================================================
   1  connections: fields of the connection are not passed on, nor are those that it names;
      test_differential.test_answers; test_differential.test_what_arrives
   2  answers: an answer to HEAD ends at its head, whatever its length says;
      answers: 204 and 304 end at their head, whatever their length says
   3  passing: Expect passes, and so do interim answers of any number;
      answers: interim answers do not go to HTTP/1.0 clients;
      answers: an answer that switches protocols unasked is a 502
   4  answers: an answer that ends too early is no clean end;
      answers: chunks that end too early get no final chunk;
      test_cut_short.test_a_node_that_ends_anywhere
   5  answers: chunks go to an HTTP/1.0 client without their framing, then the connection closes;
      answers: an answer without a length goes to an HTTP/1.1 client with close
   6  test_differential.test_what_arrives;
      test_head.test_http_1_0_without_host_gets_the_node_s
   7  connections: a final answer before the request is whole ends both connections, ours without
      a reset; test_states.test_lingering_is_bounded
   8  connections: fields of the connection are not passed on, nor are those that it names;
      test_head.test_refused
   9  test_head.test_refused; test_head.test_refused_before_it_is_whole;
      test_conformance.test_outcomes_and_what_the_upstream_sees
  10  test_head.test_refused; test_head.test_answer_refused;
      answers: an answer with both lengths is a 502, and its connection is dropped
  11  connections: a GET on a connection that had died meanwhile is repeated once, on a new one;
      connections: a GET with a body or of a scroll is not repeated: it moves a cursor;
      test_sockets.test_a_connection_on_which_something_came_unasked_is_not_used
  12  passing: pipelined requests are answered in their order, one after the other;
      test_states.test_read_ahead_is_bounded;
      test_sockets.test_a_client_that_leaves_while_it_is_not_read
  13  connections: what comes after a request with close is ignored
  14  passing: chunks, their extensions and their trailers pass as they are, in both directions;
      test_body.test_refused
  15  passing: Expect passes, and so do interim answers of any number;
      refusals: a node's connection is not used again after 413, nor is the client's lost;
      refusals: a body that the node did not ask for is never sent, and both connections end;
      refusals: an expectation that nobody can meet does not reach a node, which may take the body
      for a request;
      test_differential.test_answers
  16  test_head.test_refused; passing: a method that nobody knows passes, for the node to judge
  17  test_differential.test_what_arrives
  18  test_states.test_an_answer_s_head_over_the_limit; test_chaos_connections.test_bounds
  19  test_sockets.test_a_slow_reader_stops_the_node; test_sockets.test_a_slow_node_stops_the_client;
      test_cut_short.test_a_large_body_both_ways
  20  test_chaos_search.test_in_the_clear; test_chaos_search.test_over_tls;
      connections: a client that leaves in the middle of its upload takes its request with it;
      connections: a client that leaves in the middle of an answer takes its request with it
  21  test_dialogues.test_byte_by_byte; test_states.test_a_head_over_the_limit;
      test_cut_short.test_a_large_body_both_ways;
      test_cut_short.test_a_client_that_resets_anywhere; test_chaos_connections.test_slow_ones
  22  test_states.test_poisonous_head; test_states.test_refused_before_it_was_written;
      connections: a connection is not used again after 431;
      refusals: a node's connection is not used again after 417: it may take the body for a request
  23  connections: a client that leaves takes its request with it;
      test_differential.test_a_half_close
====  ===========================================================================================
"""

import re
from pathlib import Path

from wire import read_dialogues

TESTS = Path(__file__).parents[1]


def table() -> dict[int, list[str]]:
    """Return what is named above for each sentence."""
    assert __doc__ is not None
    rows = re.split(r"^ +(\d+)  ", __doc__.split("====\n")[2], flags=re.MULTILINE)[1:]
    return {
        int(number): re.split(r"; ", " ".join(names.replace("=", "").split()))
        for number, names in zip(rows[::2], rows[1::2], strict=True)
    }


def test_each_sentence_is_shown() -> None:
    """All 23 sentences name tests or dialogues that there are."""
    there = {dialogue.title for dialogue in read_dialogues(Path(__file__).parent / "dialogues")}
    for room in ("relay", "whole"):
        for path in (TESTS / room).glob("test_*.py"):
            names = re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
            there |= {f"{path.stem}.{name}" for name in names}
    named = table()
    assert list(named) == list(range(1, 24))
    assert [name for names in named.values() for name in names if name not in there] == []
