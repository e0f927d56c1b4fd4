"""What must hold of every decision, whatever the web site says."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from policies_for_tests import shipped, variant
from strategies import origins, page, urls

from optout import engine
from optout.identity import Identity
from optout.model import Availability, Effect, Purpose, State
from optout.protocol import Layers
from optout.signals import PROTOCOLS

POLICIES = [
    shipped("literal"),
    shipped("conservative"),
    shipped("eu-gpai"),
    variant(
        "eu-gpai",
        ('named_agents = "report"', 'named_agents = "reserve"'),
        ('second_reader = "deny"', 'second_reader = "off"'),
    ),
]
policies = st.sampled_from(POLICIES)
identities = st.sampled_from([Identity("ExampleBot"), Identity("GPTBot"), Identity("Google-Extended")])
STRICT = {Effect.PERMIT: 0, Effect.REVIEW: 1, Effect.DENY: 2}


@given(st.data(), origins, urls, policies, identities)
def test_compiled_equals_plain(data, origin, url, policy, identity):
    closer = data.draw(st.one_of(st.just(()), st.tuples(page(url))))
    plain = engine.decide((*origin, *closer), url, policy, identity)
    compiled = engine.compile(origin, policy, identity)
    assert compiled.decide(url, closer) == plain
    assert compiled.decide(url, closer) == plain, "the second answer comes from memory"


@given(st.permutations(range(4)), st.data(), origins, urls, policies)
def test_the_order_of_exchanges_never_matters(order, data, origin, url, policy):
    exchanges = [*origin, data.draw(page(url))]
    one = engine.decide(exchanges, url, policy, Identity("ExampleBot"))
    other = engine.decide([exchanges[index] for index in order], url, policy, Identity("ExampleBot"))
    assert one.states == other.states
    assert one.decisions == other.decisions
    assert one.signals == other.signals
    assert one.access == other.access


@given(st.data(), origins, urls, policies)
def test_looking_closer_only_tightens(data, origin, url, policy):
    """Except where a policy lets a protocol's own closer layer lift its own wider one."""
    closer = data.draw(page(url))
    wide = engine.decide(origin, url, policy, Identity("ExampleBot"))
    near = engine.decide((*origin, closer), url, policy, Identity("ExampleBot"))
    superseding = {name for name, protocol in PROTOCOLS.items() if protocol.layers is Layers.SUPERSEDE}
    for purpose in Purpose:
        before, after = wide.decision(purpose), near.decision(purpose)
        lifted = policy.layers == "supersede" and {signal.protocol for signal in before.decisive} <= superseding
        assert STRICT[after.effect] >= STRICT[before.effect] or lifted
    assert STRICT[near.access] >= STRICT[wide.access]


@given(origins, urls, policies, st.integers(0, 2))
def test_losing_a_file_never_turns_no_into_yes(origin, url, policy, lost):
    """A file that could not be fetched, where it had said nothing or permitted, is never better than having it."""
    unreachable = [
        replace(exchange, status=None, error="timeout", body=b"") if index == lost else exchange
        for index, exchange in enumerate(origin)
    ]
    without = engine.decide(unreachable, url, policy, Identity("ExampleBot"))
    missing = engine.decide(
        [exchange for index, exchange in enumerate(origin) if index != lost], url, policy, Identity("ExampleBot")
    )
    role = origin[lost].role
    assert without.coverage.of(role) is Availability.UNREACHABLE
    assert missing.coverage.of(role) is Availability.NOT_CONSULTED
    if policy.unreachable is not Effect.PERMIT or lost == 0:
        assert all(decision.effect is not Effect.PERMIT for decision in without.decisions)
    if policy.not_consulted is not Effect.PERMIT or lost == 0:
        assert all(decision.effect is not Effect.PERMIT for decision in missing.decisions)


@given(origins, urls, policies)
def test_a_reserved_state_is_never_permitted(origin, url, policy):
    verdict = engine.decide(origin, url, policy, Identity("ExampleBot"))
    for purpose in Purpose:
        if verdict.states[purpose] is State.RESERVED:
            assert verdict.decision(purpose).effect is Effect.DENY
    if verdict.states[Purpose.TDM] is State.RESERVED:
        assert verdict.decision(Purpose.AI_TRAIN).effect is Effect.DENY


@given(origins, urls)
def test_lenient_readings_only_restrict(origin, url):
    """Whatever the letter reserves, the readings beyond the letter reserve as well."""
    letter = variant("literal", ("robots_limit = 512_000 ", "robots_limit = 2_000_000 "))
    wide = engine.decide(origin, url, shipped("conservative"), Identity("ExampleBot"))
    narrow = engine.decide(origin, url, letter, Identity("ExampleBot"))
    for purpose in Purpose:
        assert narrow.states[purpose] is not State.RESERVED or wide.states[purpose] is State.RESERVED
    assert STRICT[wide.access] >= STRICT[narrow.access]
