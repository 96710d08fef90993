"""How passwords are hashed: by the product's own parameters, whatever cheaper ones the other tests use."""

from argon2 import PasswordHasher, extract_parameters
from tidegate_web.auth.passwords import Passwords


def test_passwords_are_hashed_by_argon2id_as_rfc_9106_recommends_where_memory_is_scarce() -> None:
    passwords = Passwords()
    digest = passwords.hash("correct horse battery staple")
    used = extract_parameters(digest)
    assert (used.type.name, used.memory_cost, used.time_cost, used.parallelism) == ("ID", 64 * 1024, 3, 4)
    assert passwords.check(digest, "correct horse battery staple")
    assert not passwords.check(digest, "correct horse battery stable")
    assert not passwords.check(None, "correct horse battery staple")


def test_a_hash_by_weaker_parameters_is_good_and_outdated() -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse battery staple")
    passwords = Passwords()
    assert passwords.check(weak, "correct horse battery staple")
    assert passwords.outdated(weak)
    assert not passwords.outdated(passwords.hash("correct horse battery staple"))
