import base64
import ssl
import stat
import subprocess
import sys

import pytest
import yaml

from muster.kube.credentials import ConfigurationError, KubeCredentials

EXEC = "client.authentication.k8s.io/v1"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=muster"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def kubeconfig(tmp_path, user=None, cluster=None, name="config"):
    file = tmp_path / name
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [
            {"name": "c", "context": {"cluster": "k", "user": "u"}},
            {"name": "other", "context": {"cluster": "o", "user": "u"}},
        ],
        "clusters": [
            {"name": "k", "cluster": {"server": "https://k:6443", **(cluster or {})}},
            {"name": "o", "cluster": {"server": "http://o:8080"}},
        ],
        "users": [{"name": "u", "user": user or {}}],
    }
    file.write_text(yaml.safe_dump(config))
    return str(file)


def plugin(tmp_path, status):
    """A credential plugin that counts its runs into its token."""
    script = tmp_path / "plugin"
    script.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, sys\n"
        "f = pathlib.Path(__file__ + '.count'); n = int(f.read_text()) + 1 if f.exists() else 1; f.write_text(str(n))\n"
        f"status = {status!r}\n"
        "if status is None: sys.exit('not logged in')\n"
        "status = {k: v.replace('%n', str(n)) for k, v in status.items()}\n"
        f"print(json.dumps({{'apiVersion': {EXEC!r}, 'kind': 'ExecCredential', 'status': status}}))\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": EXEC, "command": str(script), "interactiveMode": "Never"}}


async def test_a_token_in_a_kubeconfig(tmp_path):
    access = await KubeCredentials(kubeconfig=kubeconfig(tmp_path, {"token": "t"})).current()
    assert (access.base_url, access.headers) == ("https://k:6443", {"Authorization": "Bearer t"})
    assert access.ssl.verify_mode == ssl.CERT_REQUIRED
    assert access.ssl.check_hostname


async def test_the_environment_and_the_context_choose(tmp_path):
    environ = {"KUBECONFIG": kubeconfig(tmp_path, {"token": "t"}), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    access = await KubeCredentials(context="other", environ=environ).current()
    assert (access.base_url, access.ssl) == ("http://o:8080", None)


async def test_the_home_directory_comes_last(tmp_path):
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube", {"token": "t"})
    assert (await KubeCredentials(environ={"HOME": str(tmp_path)}).current()).base_url == "https://k:6443"


async def test_basic_authentication(tmp_path):
    access = await KubeCredentials(kubeconfig=kubeconfig(tmp_path, {"username": "a", "password": "b"})).current()
    assert access.headers == {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()}


async def test_client_certificate_authority_and_server_name(tmp_path, certificate):
    cert, key = certificate
    files = {"client-certificate-data": cert, "client-key-data": key}
    data = {field: base64.b64encode(file.read_bytes()).decode() for field, file in files.items()}
    cluster = {"certificate-authority": str(cert), "tls-server-name": "kubernetes"}
    access = await KubeCredentials(kubeconfig=kubeconfig(tmp_path, data, cluster)).current()
    assert access.server_hostname == "kubernetes"
    assert access.headers == {}
    assert access.ssl.cert_store_stats()["x509"] == 1


async def test_verification_can_be_switched_off(tmp_path):
    file = kubeconfig(tmp_path, {"token": "t"}, {"insecure-skip-tls-verify": True})
    access = await KubeCredentials(kubeconfig=file).current()
    assert (access.ssl.verify_mode, access.ssl.check_hostname) == (ssl.CERT_NONE, False)


async def test_a_plugin_runs_once_and_again_after_a_401(tmp_path):
    clock = Clock()
    file = kubeconfig(tmp_path, plugin(tmp_path, {"token": "t%n"}))
    credentials = KubeCredentials(kubeconfig=file, clock=clock)
    first = await credentials.current()
    assert first.headers == {"Authorization": "Bearer t1"}
    clock.now += 3600
    assert await credentials.current() is first
    second = await credentials.refresh(first)
    assert second.headers == {"Authorization": "Bearer t2"}
    assert second.ssl is first.ssl  # connections are pooled by it
    assert await credentials.refresh(first) is second  # another request got its 401 a little later
    assert await credentials.refresh(second) is second  # not again within seconds
    clock.now += 10
    assert (await credentials.refresh(second)).headers == {"Authorization": "Bearer t3"}


async def test_a_plugins_token_is_renewed_before_it_expires(tmp_path):
    clock = Clock()
    status = {"token": "t%n", "expirationTimestamp": "2020-01-01T00:00:00Z"}
    credentials = KubeCredentials(kubeconfig=kubeconfig(tmp_path, plugin(tmp_path, status)), clock=clock)
    first = await credentials.current()
    assert await credentials.current() is first
    clock.now += 61
    assert (await credentials.current()).headers != first.headers


async def test_a_token_file_is_read_again(tmp_path):
    clock = Clock()
    token = tmp_path / "token"
    token.write_text("one")
    credentials = KubeCredentials(kubeconfig=kubeconfig(tmp_path, {"tokenFile": str(token)}), clock=clock)
    first = await credentials.current()
    token.write_text("two")
    assert await credentials.current() is first
    clock.now += 61
    assert (await credentials.current()).headers == {"Authorization": "Bearer two"}
    clock.now += 61
    token.unlink()
    assert (await credentials.current()).headers == {"Authorization": "Bearer two"}  # kept


@pytest.fixture
def pod(tmp_path, certificate):
    token = tmp_path / "token"
    token.write_text("one\n")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443", "HOME": str(tmp_path)}
    return {"environ": environ, "token_file": str(token), "ca_file": str(certificate[0])}


async def test_a_pods_service_account(pod):
    access = await KubeCredentials(**pod).current()
    assert (access.base_url, access.headers) == ("https://[fd00::1]:443", {"Authorization": "bearer one"})


async def test_the_namespace_is_that_of_the_context_or_the_pod(tmp_path, pod):
    file = kubeconfig(tmp_path)
    assert await KubeCredentials(kubeconfig=file).namespace() == ""
    config = yaml.safe_load((tmp_path / "config").read_text())
    config["contexts"][1]["context"]["namespace"] = "research"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    assert await KubeCredentials(kubeconfig=file, context="other").namespace() == "research"
    assert await KubeCredentials(**pod).namespace() == ""
    (tmp_path / "namespace").write_text("muster-system\n")
    assert await KubeCredentials(**pod).namespace() == "muster-system"


async def test_a_pods_token_is_read_again_after_a_401(pod):
    credentials = KubeCredentials(**pod)
    first = await credentials.current()
    assert await credentials.refresh(first) is first  # nothing newer to be had
    with open(pod["token_file"], "w") as file:  # noqa: ASYNC230
        file.write("two")
    credentials._renewed = 0
    assert (await credentials.refresh(first)).headers == {"Authorization": "bearer two"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "does not exist", id="absent"),
        pytest.param("", "empty", id="empty"),
        pytest.param("{", "config", id="no-yaml"),
        pytest.param("clusters: []\ncontexts: []\nusers: []\ncurrent-context: x\n", "name x", id="no-context"),
        pytest.param("[]", "config", id="a-list"),
    ],
)
async def test_a_bad_kubeconfig_is_named_and_mended(tmp_path, content, words):
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError) as error:
        await KubeCredentials(environ={"KUBECONFIG": str(file)}).current()
    assert str(file) in str(error.value)
    assert "$KUBECONFIG" in str(error.value)
    assert words in str(error.value)
    assert "kubectl" in str(error.value)


async def test_a_plugin_that_fails_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"plugin `.*plugin` gave no credentials"):
        await KubeCredentials(kubeconfig=kubeconfig(tmp_path, plugin(tmp_path, None))).current()


async def test_a_pod_without_token_is_told_what_to_do(pod):
    with pytest.raises(ConfigurationError, match="automountServiceAccountToken"):
        await KubeCredentials(**{**pod, "token_file": "/nowhere"}).current()


async def test_a_certificate_that_is_none(tmp_path):
    bad = tmp_path / "ca.pem"
    bad.write_text("nonsense")
    with pytest.raises(ConfigurationError, match="the kubeconfig"):
        await KubeCredentials(kubeconfig=kubeconfig(tmp_path, {}, {"certificate-authority": str(bad)})).current()
