"""Classifies the API server's answers, once and in one place (architecture.md, Answers)."""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from muster.kube.plain import plain
from muster.kube.transport import Response, TransportError


class Answer(Enum):
    """What a refusal means; each class has one behaviour. The values are the names `core.Refused.error` uses."""

    GONE = "gone"
    """The object of this name does not exist; only a Status 404 that names it says so."""
    EXISTS = "exists"
    CONFLICT = "conflict"
    """A precondition failed: resourceVersion or uid."""
    UNKNOWN = "unknown"
    """No answer, or an unexplained one: it may have happened or not."""
    THROTTLED = "throttled"
    """Not carried out; try again later."""
    QUOTA = "quota"
    POLICY = "policy"
    """Refused by an admission plugin, webhook or policy: Pod Security, LimitRange, PriorityClass and the like."""
    NAMESPACE_TERMINATING = "namespace-terminating"
    """The namespace is going or gone."""
    RBAC = "rbac"
    TOO_LARGE = "too-large"
    INVALID = "invalid"
    EXPIRED = "expired"
    """The resourceVersion or continue token is too old (410), or from a future that a restored backup took back."""


RETRYABLE = frozenset({Answer.UNKNOWN, Answer.THROTTLED})
"""The answers after which an idempotent request may be sent again as it was."""


class ApiError(Exception):
    """A request was refused or not answered.

    `code` is the HTTP status (0: no answer at all), `reason` and `message` the server's (the latter in one line),
    `causes` pairs of (field, message), `retry_after` in seconds if the server named a time. `absent_kind`: the kind
    itself is missing (a plain-text 404, as of a removed CRD), which says nothing about the object. `replaced`: another
    object bears the name (a uid precondition failed). `sent` is False if the request certainly never reached the
    server.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        code: int = 0,
        reason: str = "",
        message: str = "",
        causes: tuple[tuple[str, str], ...] = (),
        retry_after: float | None = None,
        absent_kind: bool = False,
        replaced: bool = False,
        sent: bool = True,
    ) -> None:
        super().__init__(f"{answer.value} ({code} {reason}): {message}" if code else f"{answer.value}: {message}")
        self.answer = answer
        self.code = code
        self.reason = reason
        self.message = message
        self.causes = causes
        self.retry_after = retry_after
        self.absent_kind = absent_kind
        self.replaced = replaced
        self.sent = sent


class _Cause(msgspec.Struct):
    reason: str = ""
    field: str = ""
    message: str = ""


class _Details(msgspec.Struct, rename="camel"):
    name: str = ""
    kind: str = ""
    retry_after_seconds: float = 0
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    kind: str
    reason: str = ""
    message: str = ""
    details: _Details | None = None


_STATUS = msgspec.json.Decoder(_Status)

# The wordings are those of kubernetes/apiserver: plugin/pkg/admission/{resourcequota,limitranger,priority},
# pod-security-admission, apiserver/pkg/admission/plugin/{namespace/lifecycle,webhook,policy}, storage/errors.
_WEBHOOK = re.compile(r'^admission webhook "[^"]+" denied the request')
_CEL_POLICY = re.compile(r"AdmissionPolicy '[^']+' with binding '[^']+' denied request")
_QUOTA = re.compile(r"is forbidden: (?:exceeded quota: |failed quota: |status unknown for quota: |insufficient quota )")
_TERMINATING = "because it is being terminated"
_RBAC = re.compile(
    r'(?:is )?forbidden: User "[^"]*" cannot \w+ (?:resource|path|subresource)'
    r"|cannot set blockOwnerDeletion|cannot set an ownerRef on a resource"
)
_TOO_LARGE = re.compile(r"request is too large|trying to send message larger than max|received message larger than max")
_UID = re.compile(r"Precondition failed: UID in precondition")


def classify(response: Response, name: str, kind: str = "") -> ApiError:
    """The meaning of a refusal. `name` and `kind` (plural, as in the path) are those of the object asked for; an empty
    name (create, list) can never be gone."""
    try:
        status = _STATUS.decode(response.body)
    except msgspec.MsgspecError:
        status = None
    if status is None or status.kind != "Status":
        return _plain(response)
    details = status.details or _Details()
    causes = details.causes or []
    answer = _meaning(response.status, status, details, causes, name, kind)
    replaced = answer is Answer.CONFLICT and (response.status == 422 or _UID.search(status.message) is not None)
    return ApiError(
        answer,
        code=response.status,
        reason=status.reason,
        message=plain(status.message),
        causes=tuple((cause.field, cause.message) for cause in causes),
        retry_after=_retry_after(response) or details.retry_after_seconds or None,
        # The kind is served, but the server found nothing under the path itself: it names no object.
        absent_kind=response.status == 404 and answer is Answer.UNKNOWN and not details.name,
        replaced=replaced,
    )


def unanswered(error: TransportError) -> ApiError:
    """No answer came: unknown, also if nothing was sent, since both are met by asking again."""
    return ApiError(Answer.UNKNOWN, message=str(error), sent=error.sent)


def _plain(response: Response) -> ApiError:
    """An answer without a Status: the API server's own text, or that of something before it."""
    message = response.body[:1024].decode("utf-8", "replace").strip()
    code = response.status
    match code:
        case 401 | 403:
            answer = Answer.RBAC
        case 409:
            answer = Answer.CONFLICT
        case 410:
            answer = Answer.EXPIRED
        case 413:
            answer = Answer.TOO_LARGE
        case 429:
            answer = Answer.THROTTLED
        case 400 | 405 | 406 | 415 | 422:
            answer = Answer.INVALID
        case _:
            answer = Answer.TOO_LARGE if code >= 500 and _TOO_LARGE.search(message) else Answer.UNKNOWN
    return ApiError(
        answer, code=code, message=plain(message), retry_after=_retry_after(response), absent_kind=code == 404
    )


def _meaning(code: int, status: _Status, details: _Details, causes: list[_Cause], name: str, kind: str) -> Answer:
    message = status.message
    if code == 429:
        return Answer.THROTTLED
    if _WEBHOOK.match(message) or _CEL_POLICY.search(message):  # with whatever code the policy chose
        return Answer.POLICY
    match code:
        case 401:
            return Answer.RBAC
        case 403:
            return _forbidden(message, causes)
        case 404:
            if details.kind == "namespaces" and kind not in ("", "namespaces"):
                return Answer.NAMESPACE_TERMINATING
            ours = status.reason == "NotFound" and bool(name) and details.name == name
            return Answer.GONE if ours else Answer.UNKNOWN
        case 409:
            if status.reason == "AlreadyExists":
                return Answer.EXISTS
            if details.kind == "resourcequotas" and kind != "resourcequotas":
                # Quota admission lost its own compare-and-set; the object was not written.
                return Answer.THROTTLED
            return Answer.CONFLICT
        case 410:
            return Answer.EXPIRED
        case 413:
            return Answer.TOO_LARGE
        case 422 if any(cause.field == "metadata.uid" for cause in causes):
            return Answer.CONFLICT
    if any(cause.reason == "ResourceVersionTooLarge" for cause in causes):
        return Answer.EXPIRED
    if code >= 500:
        return Answer.TOO_LARGE if _TOO_LARGE.search(message) else Answer.UNKNOWN
    return Answer.INVALID if 400 <= code != 408 else Answer.UNKNOWN


def _forbidden(message: str, causes: list[_Cause]) -> Answer:
    if any(cause.reason == "NamespaceTerminating" for cause in causes) or _TERMINATING in message:
        return Answer.NAMESPACE_TERMINATING
    if _QUOTA.search(message):
        return Answer.QUOTA
    if _RBAC.search(message):
        return Answer.RBAC
    return Answer.POLICY


def _retry_after(response: Response) -> float | None:
    """Seconds; the form with a date is not used by Kubernetes and would need a wall clock."""
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 < seconds < 3600 else None
