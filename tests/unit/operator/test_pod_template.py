"""podtemplate: a task's template over the pod that Tidegate builds, and what stays Tidegate's own."""

import copy
from typing import Any

import pytest
from support.builders import a_run
from support.jobs import a_job
from tidegate_operator.manifests.job import PodDefaults, ReservedPathError
from tidegate_operator.manifests.pod_template import merge_template, put_own

Json = dict[str, Any]

POD: Json = {
    "metadata": {"labels": {"team": "blue"}},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532},
        "containers": [
            {
                "name": "task",
                "image": "img:1",
                "args": ["a", "b"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "resources": {"limits": {"memory": "1Gi", "cpu": "1"}},
            }
        ],
    },
}


def merged(template: Json) -> Json:
    before = copy.deepcopy((POD, template))
    made = merge_template(POD, template)
    assert (POD, template) == before, "the parts were changed"
    return made


def task_of(pod: Json) -> Json:
    found: Json = pod["spec"]["containers"][0]
    return found


def test_maps_are_merged_key_by_key_and_lists_by_their_keys() -> None:
    template = {
        "metadata": {"labels": {"team": "red", "tier": "batch"}, "annotations": {"a": "b"}},
        "spec": {
            "securityContext": {"runAsUser": 1000, "fsGroup": 2000},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "gpu"}],
            "terminationGracePeriodSeconds": 5,
            "containers": [
                {"name": "helper", "image": "help"},
                {
                    "name": "task",
                    "args": ["c"],
                    "env": [{"name": "C", "value": "3"}, {"name": "A", "value": "9"}],
                    "resources": {"limits": {"memory": "2Gi"}, "requests": {"cpu": "1"}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                },
            ],
            "initContainers": [{"name": "proxy", "image": "proxy", "restartPolicy": "Always"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    }
    assert merged(template) == {
        "metadata": {"labels": {"team": "red", "tier": "batch"}, "annotations": {"a": "b"}},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 2000},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "gpu"}],
            "terminationGracePeriodSeconds": 5,
            "containers": [
                {
                    "name": "task",
                    "image": "img:1",
                    "args": ["c"],
                    "env": [{"name": "A", "value": "9"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
                    "resources": {"limits": {"memory": "2Gi", "cpu": "1"}, "requests": {"cpu": "1"}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                },
                {"name": "helper", "image": "help"},
            ],
            "initContainers": [{"name": "proxy", "image": "proxy", "restartPolicy": "Always"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    }


@pytest.mark.parametrize(
    ("field", "ours", "theirs", "expected"),
    [
        ("ports", [{"containerPort": 1}], [{"containerPort": 1, "name": "a"}], [{"containerPort": 1, "name": "a"}]),
        (
            "ports",
            [{"containerPort": 1, "protocol": "TCP"}],
            [{"containerPort": 1, "protocol": "UDP"}],
            [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 1, "protocol": "UDP"}],
        ),
        ("hostAliases", [{"ip": "1.1.1.1"}], [{"ip": "1.1.1.1", "x": 1}], [{"ip": "1.1.1.1", "x": 1}]),
        ("volumeDevices", [{"devicePath": "/a"}], [{"devicePath": "/a", "name": "b"}], [{"devicePath": "/a", "name": "b"}]),
        ("tolerations", [{"key": "a"}], [{"key": "b"}], [{"key": "b"}]),
        ("envFrom", [{"secretRef": {"name": "a"}}], [{"secretRef": {"name": "b"}}], [{"secretRef": {"name": "b"}}]),
        ("command", ["a"], ["b"], ["b"]),
    ],
)  # fmt: skip
def test_what_kubernetes_merges_by_key_is_merged_and_all_else_replaced(
    field: str, ours: list[Any], theirs: list[Any], expected: list[Any]
) -> None:
    assert merge_template({"spec": {field: ours}}, {"spec": {field: theirs}}) == {"spec": {field: expected}}


def test_null_takes_away_what_tidegate_would_set() -> None:
    pod = merged({"spec": {"securityContext": {"runAsUser": None}, "containers": [{"name": "task", "args": None}]}})
    assert pod["spec"]["securityContext"] == {"runAsNonRoot": True}
    assert "args" not in task_of(pod)


def test_null_where_programs_write_it_for_none_says_nothing() -> None:
    assert merged({"metadata": None, "spec": {"containers": None}}) == POD
    assert merged({"metadata": {"creationTimestamp": None}, "spec": None}) == POD


def test_a_name_that_the_template_has_twice_is_left_for_the_apiserver_to_refuse() -> None:
    pod = merged({"spec": {"containers": [{"name": "task", "image": "a"}, {"name": "task", "image": "b"}]}})
    assert [(c["name"], c["image"]) for c in pod["spec"]["containers"]] == [("task", "a"), ("task", "b")]


GARBAGE: list[Json] = [
    {"spec": "text"},
    {"spec": []},
    {"metadata": 7},
    {"metadata": {"labels": ["a"], "annotations": "b"}},
    {"metadata": {"labels": {"a": 1}}},
    {"spec": {"containers": {"task": {}}}},
    {"spec": {"containers": "task"}},
    {"spec": {"containers": [None, 1, "task", [], {}, {"name": None}, {"name": ["task"]}, {"name": {"a": 1}}]}},
    {"spec": {"containers": [{"name": "task", "env": {"A": "1"}}]}},
    {"spec": {"containers": [{"name": "task", "env": [1, {"name": 1}, {"name": {}}, {"value": "x"}]}]}},
    {"spec": {"containers": [{"name": "task", "volumeMounts": [{"mountPath": []}, "x"], "resources": [1]}]}},
    {"spec": {"containers": [{"name": "task", "resources": {"limits": "much"}, "terminationMessagePath": 5}]}},
    {"spec": {"volumes": 3}},
    {"spec": {"volumes": [{"name": []}, None]}},
    {"spec": {"initContainers": 3, "ephemeralContainers": "x"}},
    {"spec": {"$patch": "replace"}, "$retainKeys": ["spec"]},
]


@pytest.mark.parametrize("template", GARBAGE, ids=repr)
def test_garbage_breaks_nothing_here_and_is_left_where_it_stands(template: Json) -> None:
    pod = pod_of(template, after_oom=True)
    for part in ("metadata", "spec"):
        if not isinstance(template.get(part, {}), dict):
            assert pod[part] == template[part]
    spec = template.get("spec")
    if isinstance(spec, dict):
        for field in ("volumes", "containers"):
            if field in spec and not isinstance(spec[field], list):
                assert pod["spec"][field] == spec[field]
        assert pod["spec"].get("$patch") == spec.get("$patch")


def test_ours_come_first_in_place_of_those_with_the_same_key() -> None:
    owner: Json = {"env": [{"name": "B"}, {"name": "A", "value": "forged"}, {"name": "A", "value": "again"}]}
    put_own(owner, "env", [{"name": "A", "value": "ours"}], key="name")
    assert owner == {"env": [{"name": "A", "value": "ours"}, {"name": "B"}]}


# In the Job


def pod_of(template: Json, *, after_oom: bool = False, api_url: str = "http://web", **task: Any) -> Json:
    run = a_run("hello").labels({"team": "blue"}).built
    run["metadata"]["uid"] = "uid-1"
    oom = {"outOfMemory": {"resources": {"limits": {"memory": "4Gi"}}}}
    resolved = {"image": "img:1", "timeoutSeconds": 60, "retry": oom, "podTemplate": template, **task}
    before = copy.deepcopy(resolved)
    job = a_job(run, resolved, number=1, defaults=PodDefaults(api_url=api_url), after_oom=after_oom)
    assert resolved == before, "the resolved task was changed"
    made: Json = job["spec"]["template"]
    assert set(job["metadata"]["labels"]) == {"team", *LABELS}, "the template's labels are the pod's alone"
    return made


LABELS = {
    "app.kubernetes.io/managed-by": "tidegate",
    "tidegate.dev/run": "hello",
    "tidegate.dev/run-uid": "uid-1",
    "tidegate.dev/attempt": "1",
    "tidegate.dev/queue": "default",
}


def test_labels_and_annotations_are_added_but_for_those_of_others() -> None:
    template = {
        "metadata": {
            "labels": {"team": "red", "tidegate.dev/run": "forged", "tidegate.dev/x": "y", "job-name": "z"},
            "annotations": {"note": "n", "tidegate.dev/payload": "forged", "tidegate.dev/stop-reason": "forged"},
        }
    }
    assert pod_of(template)["metadata"] == {
        "labels": {"team": "red", **LABELS},
        "annotations": {"note": "n", "tidegate.dev/payload": "{}"},
    }


def test_what_is_tidegates_own_stays() -> None:
    template = {
        "spec": {
            "restartPolicy": "OnFailure",
            "activeDeadlineSeconds": 5,
            "volumes": [{"name": "tidegate-payload", "emptyDir": {}}, {"name": "data", "emptyDir": {}}],
            "containers": [
                {
                    "name": "task",
                    "env": [{"name": "TIDEGATE_RUN", "valueFrom": {}}, {"name": "TIDEGATE_OF_MINE", "value": "1"}],
                    "volumeMounts": [
                        {"name": "data", "mountPath": "/tidegate/"},
                        {"name": "data", "mountPath": "/var/run/secrets/tidegate"},
                        {"name": "data", "mountPath": "/data"},
                    ],
                },
                {"name": "other", "image": "x", "env": [{"name": "TIDEGATE_RUN", "value": "its own"}]},
            ],
        }
    }
    spec = pod_of(template)["spec"]
    assert (spec["restartPolicy"], spec["activeDeadlineSeconds"]) == ("Never", 360)
    assert [(v["name"], "emptyDir" in v) for v in spec["volumes"]] == [
        ("tidegate-payload", False),
        ("tidegate-token", False),
        ("data", True),
    ]
    task, other = spec["containers"]
    assert task["volumeMounts"] == [
        {"name": "tidegate-payload", "mountPath": "/tidegate", "readOnly": True},
        {"name": "tidegate-token", "mountPath": "/var/run/secrets/tidegate", "readOnly": True},
        {"name": "data", "mountPath": "/data"},
    ]
    assert [e for e in task["env"] if e["name"] == "TIDEGATE_RUN"] == [{"name": "TIDEGATE_RUN", "value": "hello"}]
    assert task["env"][-1] == {"name": "TIDEGATE_OF_MINE", "value": "1"}
    assert other == {"name": "other", "image": "x", "env": [{"name": "TIDEGATE_RUN", "value": "its own"}]}


@pytest.mark.parametrize(
    "path",
    ["/tidegate/data", "/tidegate/payload.json", "/tidegate/./x/", "//tidegate/x", "/var/run/secrets/tidegate/x"],
)
def test_nothing_is_mounted_in_a_folder_of_tidegates(path: str) -> None:
    mounts = [{"name": "data", "mountPath": path}]
    template = {"spec": {"containers": [{"name": "task", "volumeMounts": mounts}]}}
    with pytest.raises(ReservedPathError, match=f"^podTemplate mounts a volume at {path}: "):
        pod_of(template)


def test_a_path_that_only_begins_alike_matches_nothing() -> None:
    mounts = [{"name": "data", "mountPath": "/tidegate-data/x"}]
    template = {"spec": {"containers": [{"name": "task", "volumeMounts": mounts}]}}
    assert pod_of(template)["spec"]["containers"][0]["volumeMounts"][-1]["mountPath"] == "/tidegate-data/x"


def test_ours_stay_also_where_the_template_has_null() -> None:
    template = {
        "metadata": {"labels": None, "annotations": None},
        "spec": {
            "restartPolicy": None,
            "activeDeadlineSeconds": None,
            "volumes": None,
            "containers": [{"name": "task", "env": None, "volumeMounts": None}],
        },
    }
    made = pod_of(template)
    assert made["metadata"] == {"labels": LABELS, "annotations": {"tidegate.dev/payload": "{}"}}
    plain = pod_of({}, env=[{"name": "A", "value": "1"}])["spec"]
    plain["containers"][0]["env"].pop()
    assert made["spec"] == plain


def test_without_a_timeout_no_deadline_comes_in_by_the_template() -> None:
    assert "activeDeadlineSeconds" not in pod_of({"spec": {"activeDeadlineSeconds": 5}}, timeoutSeconds=0)["spec"]


def test_without_the_web_part_its_names_are_free() -> None:
    volumes = pod_of({"spec": {"volumes": [{"name": "tidegate-token", "emptyDir": {}}]}}, api_url="")["spec"]["volumes"]
    assert volumes[-1] == {"name": "tidegate-token", "emptyDir": {}}


@pytest.mark.parametrize(("beside", "expected"), [(0, "4096"), (2, "4096"), (3, "3072"), (11, "1024")])
def test_what_is_kept_of_a_result_is_divided_among_all_containers(beside: int, expected: str) -> None:
    others = [{"name": f"c{i}", "image": "x"} for i in range(beside)]
    spec = {"containers": others[: beside // 2], "initContainers": others[beside // 2 :]}
    env = task_of(pod_of({"spec": spec}))["env"]
    assert {"name": "TIDEGATE_RESULT_MAX_BYTES", "value": expected} in env


def test_the_result_file_follows_the_termination_log() -> None:
    task = task_of(pod_of({"spec": {"containers": [{"name": "task", "terminationMessagePath": "/out/result"}]}}))
    assert task["terminationMessagePath"] == "/out/result"
    assert {"name": "TIDEGATE_RESULT_FILE", "value": "/out/result"} in task["env"]


def test_after_an_oom_kill_its_resources_win_over_all_others() -> None:
    template = {"spec": {"containers": [{"name": "task", "resources": {"limits": {"memory": "3Gi"}}}]}}
    task: Json = {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"memory": "1Gi"}}}
    assert task_of(pod_of(template, **task))["resources"] == {
        "limits": {"cpu": "1", "memory": "3Gi"},
        "requests": {"memory": "1Gi"},
    }
    assert task_of(pod_of(template, after_oom=True, **task))["resources"] == {
        "limits": {"cpu": "1", "memory": "4Gi"},
        "requests": {"memory": "1Gi"},
    }
    assert task_of(pod_of({}, after_oom=True))["resources"] == {"limits": {"memory": "4Gi"}}
    assert "resources" not in task_of(pod_of({}, after_oom=True, retry={}))
