# ruff: noqa: E501  (the server's sentences are as long as they are)
import pytest
from tests.support.faketransport import missing, plain, status

from muster.kube.errors import Answer, classify, unanswered
from muster.kube.transport import Response, TransportError

NAME = "llm-worker-0"
F = f'pods "{NAME}" is forbidden: '
TERMINATING = [
    {"reason": "NamespaceTerminating", "message": "namespace a is being terminated", "field": "metadata.namespace"}
]
UID = f'Operation cannot be fulfilled on pods "{NAME}": '
PRECONDITION = "Precondition failed: UID in precondition: 85c68e8f, UID in object meta: "


def forbidden(message: str) -> Response:
    return status(403, "Forbidden", message, name=NAME, kind="pods")


TABLE = [
    pytest.param(missing(NAME), Answer.GONE, id="404-our-name"),
    pytest.param(missing("other"), Answer.UNKNOWN, id="404-other-name"),
    pytest.param(missing("a", "namespaces"), Answer.NAMESPACE_TERMINATING, id="404-namespace-gone"),
    pytest.param(plain(404, "404 page not found\n"), Answer.UNKNOWN, id="404-plain"),
    pytest.param(status(404, "NotFound", "the server could not find the requested resource"), Answer.UNKNOWN, id="404-no-details"),
    pytest.param(status(409, "AlreadyExists", f'pods "{NAME}" already exists', name=NAME, kind="pods"), Answer.EXISTS, id="409-exists"),
    pytest.param(status(409, "AlreadyExists", f'object is being deleted: pods "{NAME}" already exists', name=NAME, kind="pods"), Answer.EXISTS, id="409-exists-deleting"),
    pytest.param(status(409, "Conflict", UID + "the object has been modified; please apply your changes to the latest version and try again", name=NAME, kind="pods"), Answer.CONFLICT, id="409-version"),
    pytest.param(status(409, "Conflict", UID + f"StorageError: invalid object, Code: 4, Key: /registry/pods/a/{NAME}, ResourceVersion: 0, AdditionalErrorMsg: {PRECONDITION}", name=NAME, kind="pods"), Answer.CONFLICT, id="409-uid"),
    pytest.param(status(409, "Conflict", 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified; please apply your changes to the latest version and try again', name="q", kind="resourcequotas"), Answer.THROTTLED, id="409-quota-race"),
    pytest.param(forbidden(F + "exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10"), Answer.QUOTA, id="403-quota"),
    pytest.param(forbidden(F + "failed quota: q: must specify cpu for: main"), Answer.QUOTA, id="403-quota-must-specify"),
    pytest.param(forbidden(F + "status unknown for quota: q, resources: pods"), Answer.QUOTA, id="403-quota-unknown"),
    pytest.param(forbidden(F + "insufficient quota to match these scopes: [{PriorityClass In [high]}]"), Answer.QUOTA, id="403-quota-scope"),
    pytest.param(forbidden(F + 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "main" must set securityContext.allowPrivilegeEscalation=false)'), Answer.POLICY, id="403-pod-security"),
    pytest.param(forbidden(F + "[maximum memory usage per Container is 1Gi, but limit is 2Gi, minimum cpu usage per Container is 1, but request is 500m]"), Answer.POLICY, id="403-limitrange"),
    pytest.param(forbidden(F + "no PriorityClass with name nope was found"), Answer.POLICY, id="403-priority-class"),
    pytest.param(forbidden(F + "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name"), Answer.POLICY, id="403-preemption-policy"),
    pytest.param(forbidden(F + 'error looking up service account a/sa: serviceaccount "sa" not found'), Answer.POLICY, id="403-service-account"),
    pytest.param(status(403, "Forbidden", F + "unable to create new content in namespace a because it is being terminated", name=NAME, kind="pods", causes=TERMINATING), Answer.NAMESPACE_TERMINATING, id="403-terminating"),
    pytest.param(forbidden(F + "unable to create new content in namespace a because it is being terminated"), Answer.NAMESPACE_TERMINATING, id="403-terminating-no-causes"),
    pytest.param(status(403, "Forbidden", 'pods is forbidden: User "system:serviceaccount:m:muster" cannot create resource "pods" in API group "" in the namespace "a"', kind="pods"), Answer.RBAC, id="403-rbac"),
    pytest.param(forbidden(F + "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>"), Answer.RBAC, id="403-owner-reference"),
    pytest.param(status(401, "Unauthorized", "Unauthorized"), Answer.RBAC, id="401"),
    pytest.param(plain(403, "Forbidden"), Answer.RBAC, id="403-plain"),
    pytest.param(status(400, "", 'admission webhook "vpod.example.com" denied the request: no'), Answer.POLICY, id="400-webhook"),
    pytest.param(forbidden('admission webhook "v.kyverno.svc" denied the request: exceeded quota: nope'), Answer.POLICY, id="403-webhook-that-says-quota"),
    pytest.param(status(422, "Invalid", f"pods \"{NAME}\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: false", name=NAME, kind="pods"), Answer.POLICY, id="422-cel-policy"),
    pytest.param(status(422, "Invalid", f"The pods \"{NAME}\" is invalid: : ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"), Answer.POLICY, id="422-cel-policy-as-kubectl-shows-it"),
    pytest.param(status(500, "InternalError", 'Internal error occurred: failed calling webhook "v": failed to call webhook: Post "https://v.a.svc:443/": dial tcp: connection refused'), Answer.UNKNOWN, id="500-webhook-down"),
    pytest.param(status(429, "TooManyRequests", "Too many requests, please try again later.", retry_after=7), Answer.THROTTLED, id="429-status"),
    pytest.param(plain(429, "Too many requests, please try again later.\n", retry_after="1"), Answer.THROTTLED, id="429-plain"),
    pytest.param(plain(429, ""), Answer.THROTTLED, id="429-without-retry-after"),
    pytest.param(status(500, "", "etcdserver: request is too large"), Answer.TOO_LARGE, id="500-etcd-too-large"),
    pytest.param(status(500, "", "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2097159 vs. 2097152)"), Answer.TOO_LARGE, id="500-grpc-too-large"),
    pytest.param(status(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"), Answer.TOO_LARGE, id="413"),
    pytest.param(plain(413, "<html>413 Request Entity Too Large</html>"), Answer.TOO_LARGE, id="413-proxy"),
    pytest.param(status(422, "Invalid", f'Pod "{NAME}" is invalid: metadata.uid: Invalid value: "x": field is immutable', name=NAME, kind="Pod", causes=[{"reason": "FieldValueInvalid", "message": 'Invalid value: "x": field is immutable', "field": "metadata.uid"}]), Answer.CONFLICT, id="422-uid"),
    pytest.param(status(422, "Invalid", f'Pod "{NAME}" is invalid: spec.containers: Required value', name=NAME, kind="Pod", causes=[{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.containers"}]), Answer.INVALID, id="422"),
    pytest.param(status(400, "BadRequest", 'strict decoding error: unknown field "spec.contaners"'), Answer.INVALID, id="400-strict"),
    pytest.param(status(410, "Expired", "The provided continue parameter is too old to display a consistent list result."), Answer.EXPIRED, id="410-continue"),
    pytest.param(status(410, "Gone", "too old resource version: 1 (2)"), Answer.EXPIRED, id="410-watch"),
    pytest.param(status(504, "Timeout", "Too large resource version: 9, current: 2", causes=[{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]), Answer.EXPIRED, id="504-from-the-future"),
    pytest.param(status(500, "ServerTimeout", "The POST operation against Pod could not be completed at this time, please try again."), Answer.UNKNOWN, id="500-timeout"),
    pytest.param(status(504, "Timeout", "Timeout: request did not complete within the requested timeout"), Answer.UNKNOWN, id="504"),
    pytest.param(plain(503, "apiserver is shutting down\n", retry_after="2"), Answer.UNKNOWN, id="503-plain"),
    pytest.param(plain(502, "<html>Bad Gateway</html>"), Answer.UNKNOWN, id="502"),
    pytest.param(Response(500, {}, b'{"kind":"Status","details":null,"message":"x"}'), Answer.UNKNOWN, id="500-null-details"),
]  # fmt: skip


@pytest.mark.parametrize(("response", "answer"), TABLE)
def test_classified(response, answer):
    assert classify(response, NAME, "pods").answer is answer


def test_only_a_missing_kind_is_absent():
    assert classify(plain(404, "404 page not found\n"), NAME, "pods").absent_kind
    assert classify(status(404, "NotFound", "the server could not find the requested resource"), NAME).absent_kind
    assert not classify(missing(NAME), NAME, "pods").absent_kind
    assert not classify(missing("other"), NAME, "pods").absent_kind


def test_a_collection_is_never_gone():
    assert classify(missing(NAME), "", "pods").answer is Answer.UNKNOWN


def test_a_namespace_itself_can_be_gone():
    assert classify(missing("a", "namespaces"), "a", "namespaces").answer is Answer.GONE


@pytest.mark.parametrize(("response", "answer"), [p for p in TABLE if p.id in ("409-uid", "422-uid")])
def test_another_object_bears_the_name(response, answer):
    error = classify(response, NAME, "pods")
    assert (error.answer, error.replaced) == (answer, True)


def test_a_version_conflict_is_not_another_object():
    assert not classify(status(409, "Conflict", UID + "the object has been modified"), NAME, "pods").replaced


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        pytest.param(plain(429, "", retry_after="3"), 3.0, id="header"),
        pytest.param(status(429, "TooManyRequests", "", retry_after=4), 4.0, id="both"),
        pytest.param(Response(503, {}, b'{"kind":"Status","details":{"retryAfterSeconds":5}}'), 5.0, id="details"),
        pytest.param(plain(429, ""), None, id="none"),
        pytest.param(plain(429, "", retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), None, id="date"),
        pytest.param(plain(429, "", retry_after="-1"), None, id="negative"),
        pytest.param(plain(429, "", retry_after="nan"), None, id="nan"),
    ],
)
def test_retry_after(response, seconds):
    assert classify(response, NAME).retry_after == seconds


def test_causes_are_kept():
    error = classify(status(422, "Invalid", "m", causes=[{"field": "spec.x", "message": "bad", "reason": "r"}]), NAME)
    assert error.causes == (("spec.x", "bad"),)


@pytest.mark.parametrize("sent", [True, False])
def test_no_answer_is_unknown(sent):
    error = unanswered(TransportError("x", sent=sent))
    assert (error.answer, error.sent, error.code) == (Answer.UNKNOWN, sent, 0)
