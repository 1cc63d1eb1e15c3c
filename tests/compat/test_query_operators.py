"""What does each operator of the query language find?

Source: wms.md sections 13 and 15, whose operators mean what MongoDB means by them: a condition on an array holds if it holds
for an element or for the whole array, an absent field equals null, comparisons hold only between values of one type.
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.exact import Json
from compat.findable import Findable, make_findable
from compat.parties import Desk
from compat.samples import worker_config

NONE, ALL = "", "A Ba Bb C"
Cases = list[tuple[Json, str]]


@pytest.fixture
def findable(service: Service) -> Iterator[Findable]:
    with Desk(service) as desk:
        yield make_findable(desk)


def check_taskforces(findable: Findable, cases: Cases) -> None:
    assert [(query, findable.find_taskforces(query)) for query, _ in cases] == cases


def check_directives(findable: Findable, cases: Cases) -> None:
    assert [(query, findable.find_directives(query)) for query, _ in cases] == cases


def test_equality_compares_values_of_one_type(findable: Findable) -> None:
    cases: Cases = [
        ({}, ALL),
        ({"schedd": "SCHEDD1"}, "A Ba"),
        ({"n_workers": 5}, "Ba Bb"),
        ({"n_workers": 5.0}, "Ba Bb"),
        ({"n_workers": "5"}, NONE),
        ({"n_workers": 5, "schedd": "SCHEDD2"}, "Bb"),
        ({"phase": "condor-submit"}, "A"),
        ({"cluster_id": 101}, "A"),
        ({"cluster_id": None}, "Ba Bb C"),
        ({"job_event_log_fpath": ""}, "Ba Bb C"),
        ({"nonsense": 1}, NONE),
        ({"nonsense": None}, ALL),
        ({"_id": "6b0259da6b0259da6b0259da"}, NONE),
        ({"workflow_id": findable.workflow["workflow_id"]}, ALL),
        ({"taskforce_uuid": findable.taskforces["C"]["taskforce_uuid"]}, "C"),
    ]
    check_taskforces(findable, cases)


def test_equality_reaches_into_objects_by_dots(findable: Findable) -> None:
    cases: Cases = [
        ({"worker_config.n_cores": 2}, "Ba Bb"),
        ({"worker_config.do_transfer_worker_stdouterr": True}, "A C"),
        ({"worker_config.do_transfer_worker_stdouterr": 1}, NONE),
        ({"worker_config.condor_requirements": ""}, ALL),
        ({"worker_config.nonsense.deeper": None}, ALL),
        ({"submit_dict.universe": "vanilla"}, "A"),
        ({"submit_dict.universe": None}, "Ba Bb C"),
        ({"submit_dict.universe.deeper": "vanilla"}, NONE),
    ]
    check_taskforces(findable, cases)


def test_equality_with_a_whole_object_compares_all_of_it(findable: Findable) -> None:
    cases: Cases = [
        ({"submit_dict": {}}, "Ba Bb C"),
        ({"submit_dict": {"universe": "vanilla"}}, NONE),
        ({"worker_config": findable.taskforces["A"]["worker_config"]}, "A C"),
        ({"worker_config": {**worker_config(), "nonsense": 1}}, NONE),
        ({"compound_statuses": {}}, ALL),
    ]
    check_taskforces(findable, cases)


def test_equality_holds_for_an_element_of_an_array(findable: Findable) -> None:
    inputs = findable.directives["A"]["input_queues"]
    cases: Cases = [
        ({"cluster_locations": "test-alpha"}, "A B"),
        ({"cluster_locations": ["test-alpha"]}, "A"),
        ({"cluster_locations": ["test-alpha", "test-beta"]}, "B"),
        ({"cluster_locations": ["test-beta", "test-alpha"]}, NONE),
        ({"cluster_locations": None}, NONE),
        ({"input_queues": inputs[0]}, "A B"),
        ({"input_queues": []}, "C"),
    ]
    check_directives(findable, cases)


def test_equality_reaches_into_the_objects_of_an_array(findable: Findable) -> None:
    dialect = findable.desk.dialect
    cases: Cases = [
        ({"phase_change_log.target_phase": "condor-submit"}, "A C"),
        ({"phase_change_log.was_successful": False}, "C"),
        ({"phase_change_log.source_entity": "Taskforce Launch Control"}, ALL),
        ({f"phase_change_log.{dialect.log_text}": "ERROR: no room"}, "C"),
        ({"phase_change_log.nonsense": 1}, NONE),
        # Two conditions may hold for two elements.
        ({"phase_change_log.target_phase": "pre-launch", "phase_change_log.was_successful": False}, "C"),
    ]
    check_taskforces(findable, cases)


def test_what_a_tms_asks(findable: Findable) -> None:
    schedd, path = "SCHEDD1", "/scratch/a.jel"
    cases: Cases = [
        ({"schedd": schedd, "job_event_log_fpath": path}, "A"),
        ({"schedd": "SCHEDD2", "job_event_log_fpath": path}, NONE),
        ({"schedd": schedd, "job_event_log_fpath": path, "cluster_id": 101}, "A"),
        ({"schedd": schedd, "job_event_log_fpath": path, "cluster_id": 102}, NONE),
        ({"job_event_log_fpath": path, "schedd": schedd, "phase": {"$ne": "condor-complete"}}, "A"),
    ]
    check_taskforces(findable, cases)

    findable.desk.confirm_complete(findable.taskforces["A"]["taskforce_uuid"])
    check_taskforces(findable, [(cases[-1][0], NONE)])


def test_eq_and_ne(findable: Findable) -> None:
    cases: Cases = [
        ({"n_workers": {"$eq": 5}}, "Ba Bb"),
        ({"cluster_id": {"$eq": None}}, "Ba Bb C"),
        ({"submit_dict": {"$eq": {}}}, "Ba Bb C"),
        ({"n_workers": {"$ne": 5}}, "A C"),
        ({"n_workers": {"$ne": "5"}}, ALL),
        ({"phase": {"$ne": "condor-submit"}}, "Ba Bb C"),
        ({"cluster_id": {"$ne": None}}, "A"),
        ({"cluster_id": {"$ne": 101}}, "Ba Bb C"),
        ({"nonsense": {"$ne": 1}}, ALL),
        ({"phase_change_log.target_phase": {"$ne": "condor-submit"}}, "Ba Bb"),
    ]
    check_taskforces(findable, cases)
    check_directives(
        findable,
        [({"cluster_locations": {"$ne": "test-alpha"}}, "C"), ({"cluster_locations": {"$eq": "test-beta"}}, "B C")],
    )


def test_in_and_nin(findable: Findable) -> None:
    cases: Cases = [
        ({"n_workers": {"$in": [1, 10, 11]}}, "A C"),
        ({"n_workers": {"$in": ["1", 10.0]}}, "C"),
        ({"n_workers": {"$in": []}}, NONE),
        ({"cluster_id": {"$in": [None, 7]}}, "Ba Bb C"),
        ({"phase": {"$in": ["condor-submit", "condor-rm"]}}, "A"),
        ({"n_workers": {"$nin": [1, 10, 11]}}, "Ba Bb"),
        ({"n_workers": {"$nin": []}}, ALL),
        ({"cluster_id": {"$nin": [None]}}, "A"),
        ({"nonsense": {"$nin": [1]}}, ALL),
        ({"phase_change_log.target_phase": {"$nin": ["condor-submit", "condor-rm"]}}, "Ba Bb"),
    ]
    check_taskforces(findable, cases)
    check_directives(
        findable,
        [
            ({"cluster_locations": {"$in": ["test-beta", "x"]}}, "B C"),
            ({"cluster_locations": {"$in": [["test-alpha"], ["test-beta"]]}}, "A C"),
            ({"cluster_locations": {"$nin": ["test-beta"]}}, "A"),
        ],
    )


def test_gt_gte_lt_and_lte(findable: Findable) -> None:
    born = findable.taskforces["A"]["timestamp"]
    cases: Cases = [
        ({"n_workers": {"$gt": 1}}, "Ba Bb C"),
        ({"n_workers": {"$gte": 5}}, "Ba Bb C"),
        ({"n_workers": {"$lt": 5}}, "A"),
        ({"n_workers": {"$lte": 5}}, "A Ba Bb"),
        ({"n_workers": {"$gt": 1, "$lt": 10}}, "Ba Bb"),
        ({"n_workers": {"$gt": 4.5}}, "Ba Bb C"),
        ({"n_workers": {"$gt": "1"}}, NONE),
        ({"n_workers": {"$gt": False}}, NONE),
        ({"cluster_id": {"$lt": 1000}}, "A"),
        ({"cluster_id": {"$gte": 0}}, "A"),
        ({"schedd": {"$gt": "SCHEDD1"}}, "Bb C"),
        ({"schedd": {"$lte": "SCHEDD1"}}, "A Ba"),
        ({"schedd": {"$gt": 0}}, NONE),
        ({"timestamp": {"$gte": born - 1, "$lte": born + 3600}}, ALL),
        ({"timestamp": {"$lt": born - 1}}, NONE),
        ({"worker_config.n_cores": {"$gte": 2}}, "Ba Bb"),
        ({"submit_dict.request_cpus": {"$gt": 3}}, "A"),
        ({"phase_change_log.timestamp": {"$gt": 0}}, ALL),
        ({"nonsense": {"$gt": 0}}, NONE),
    ]
    check_taskforces(findable, cases)
    check_directives(findable, [({"cluster_locations": {"$gt": "test-alpha"}}, "B C")])


def test_exists(findable: Findable) -> None:
    cases: Cases = [
        ({"cluster_id": {"$exists": True}}, ALL),
        ({"cluster_id": {"$exists": False}}, NONE),
        ({"submit_dict.universe": {"$exists": True}}, "A"),
        ({"submit_dict.universe": {"$exists": False}}, "Ba Bb C"),
        ({"nonsense": {"$exists": True}}, NONE),
        ({"nonsense": {"$exists": False}}, ALL),
        ({"phase_change_log.target_phase": {"$exists": True}}, ALL),
        ({"phase_change_log.nonsense": {"$exists": True}}, NONE),
    ]
    check_taskforces(findable, cases)


def test_and_or_and_nor(findable: Findable) -> None:
    five, one, beta = {"n_workers": 5}, {"n_workers": 1}, {"schedd": "SCHEDD2"}
    cases: Cases = [
        ({"$and": [five, beta]}, "Bb"),
        ({"$and": [{"n_workers": {"$gt": 1}}, {"n_workers": {"$lt": 10}}]}, "Ba Bb"),
        ({"$and": [{}]}, ALL),
        ({"$or": [one, beta]}, "A Bb C"),
        ({"$or": [one, {"nonsense": 1}]}, "A"),
        ({"$nor": [one, beta]}, "Ba"),
        ({"$nor": [{}]}, NONE),
        ({"$or": [one, beta], "n_workers": {"$ne": 5}}, "A C"),
        ({"$and": [{"$or": [one, five]}, {"$nor": [beta]}]}, "A Ba"),
        ({"$or": [{"$and": [five, beta]}, {"$nor": [five]}]}, "A Bb C"),
    ]
    check_taskforces(findable, cases)


def test_not(findable: Findable) -> None:
    cases: Cases = [
        ({"n_workers": {"$not": {"$gt": 4}}}, "A"),
        ({"cluster_id": {"$not": {"$gt": 0}}}, "Ba Bb C"),
        ({"n_workers": {"$not": {"$in": [1, 10]}}}, "Ba Bb"),
        ({"n_workers": {"$not": {"$gt": 1, "$lt": 10}}}, "A C"),
        ({"nonsense": {"$not": {"$exists": True}}}, ALL),
        ({"n_workers": {"$gt": 1, "$not": {"$gte": 10}}}, "Ba Bb"),
        ({"n_workers": {"$not": {"$not": {"$eq": 5}}}}, "Ba Bb"),
        ({"phase_change_log.was_successful": {"$not": {"$eq": False}}}, "A Ba Bb"),
    ]
    check_taskforces(findable, cases)
    check_directives(findable, [({"task_image": {"$not": {"$regex": "^repo"}}}, "C")])


def test_regex(findable: Findable) -> None:
    cases: Cases = [
        ({"task_image": {"$regex": "^repo/"}}, "A B"),
        ({"task_image": {"$regex": "a"}}, "A B C"),
        ({"task_image": {"$regex": "gamma$"}}, "C"),
        ({"task_image": {"$regex": "^other"}}, NONE),
        ({"task_image": {"$regex": r"\.2$"}}, "B"),
        ({"task_image": {"$regex": "^(repo|Other)/(alpha|gamma)"}}, "A C"),
        ({"task_image": {"$regex": "^[a-z]+/[a-z]+[:.][0-9]$"}}, "A B"),
        ({"task_image": {"$regex": ""}}, "A B C"),
        ({"task_image": {"$regex": "^repo", "$ne": "repo/alpha:1"}}, "B"),
        ({"cluster_locations": {"$regex": "beta$"}}, "B C"),
        ({"timestamp": {"$regex": "1"}}, NONE),
        ({"nonsense": {"$regex": ""}}, NONE),
    ]
    check_directives(findable, cases)
    check_taskforces(findable, [({"phase_change_log.target_phase": {"$regex": "^condor-"}}, "A C")])


def test_elem_match(findable: Findable) -> None:
    cases: Cases = [
        ({"phase_change_log": {"$elemMatch": {"target_phase": "condor-submit", "was_successful": False}}}, "C"),
        ({"phase_change_log": {"$elemMatch": {"target_phase": "condor-submit", "was_successful": True}}}, "A"),
        ({"phase_change_log": {"$elemMatch": {"target_phase": "pre-launch", "was_successful": False}}}, NONE),
        ({"phase_change_log": {"$elemMatch": {"timestamp": {"$gt": 0}, "source_entity": "TMS"}}}, "A C"),
        ({"phase_change_log": {"$elemMatch": {"$or": [{"was_successful": False}, {"target_phase": "x"}]}}}, "C"),
        ({"n_workers": {"$elemMatch": {"$gt": 0}}}, NONE),
        ({"submit_dict": {"$elemMatch": {"universe": "vanilla"}}}, NONE),
    ]
    check_taskforces(findable, cases)
    check_directives(
        findable,
        [
            ({"cluster_locations": {"$elemMatch": {"$eq": "test-beta"}}}, "B C"),
            ({"cluster_locations": {"$elemMatch": {"$regex": "^test-a"}}}, "A B"),
            ({"cluster_locations": {"$elemMatch": {"$gt": "test-alpha", "$lt": "test-beta"}}}, NONE),
        ],
    )


def test_size_and_all(findable: Findable) -> None:
    cases: Cases = [
        ({"cluster_locations": {"$size": 2}}, "B"),
        ({"cluster_locations": {"$size": 1}}, "A C"),
        ({"input_queues": {"$size": 0}}, "C"),
        ({"task_image": {"$size": 1}}, NONE),
        ({"cluster_locations": {"$all": ["test-beta", "test-alpha"]}}, "B"),
        ({"cluster_locations": {"$all": ["test-beta"]}}, "B C"),
        ({"cluster_locations": {"$all": ["test-beta", "x"]}}, NONE),
        ({"cluster_locations": {"$all": []}}, NONE),
        ({"task_image": {"$all": ["repo/alpha:1"]}}, "A"),
    ]
    check_directives(findable, cases)
    check_taskforces(
        findable,
        [
            ({"phase_change_log": {"$size": 3}}, "Ba Bb"),
            ({"phase_change_log": {"$size": 4}}, "A C"),
            ({"phase_change_log.target_phase": {"$all": ["condor-submit", "pre-launch"]}}, "A C"),
        ],
    )
