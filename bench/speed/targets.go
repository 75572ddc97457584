//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// roles are what this program is when it is started with one as its first
// argument: the parts of the bench that need a process of their own.
var roles = map[string]func([]string) error{
	"upstream":     runMock,
	"relay":        runRelay,
	"reverseproxy": runReverseProxy,
	"accordo":      runProfiled,
	"grown":        runGrown,
}

// bench is a running measurement: the mock upstream and the targets.
type bench struct {
	options
	self     string // this binary
	work     string // directory of its own, removed at the end
	plain    string // address of the upstream
	secure   string // the same with TLS 1.3
	roots    string // certificate file
	key      string
	upstream *process
	rows     table
}

// target is something to measure.
type target struct {
	name string
	// headers are what its clients send besides.
	headers string
	// start runs it on an address towards the upstream, with TLS or without,
	// in a directory of its own.
	start func(b *bench, address, upstream, dir string) (*process, error)
	// foreign is a gateway of others, which starts slowly and serves the main
	// works only.
	foreign bool
	// missing says why it is not measured.
	missing string
}

// targets are in the order of the table; direct is the upstream itself.
func (b *bench) targets() []target {
	own := func(role string) func(*bench, string, string, string) (*process, error) {
		return func(b *bench, address, upstream, _ string) (*process, error) {
			return spawn(nil, b.self, role, address, upstream, b.roots)
		}
	}
	list := []target{
		{name: "direct"},
		{name: "relay", start: own("relay")},
		{name: "reverseproxy", start: own("reverseproxy")},
		{name: "nginx", start: startNginx, missing: notFound(b.nginx)},
		{name: "litellm", foreign: true, start: startLiteLLM, headers: "Authorization: Bearer sk-bench\r\n", missing: notFound("litellm")},
		{name: "portkey", foreign: true, start: startPortkey, missing: portkeyMissing(), headers: "Authorization: Bearer none\r\nX-Portkey-Provider: openai\r\nX-Portkey-Custom-Host: http://" + b.plain + "/v1\r\n"},
		{name: "accordo", start: startAccordo, headers: "Authorization: Bearer " + benchKey + "\r\n", missing: notFound(b.accordo)},
	}
	var chosen []target
	for _, t := range list {
		if !wants(b.options.targets, t.name) {
			continue
		}
		if t.missing != "" {
			fmt.Printf("not measured: %s (%s)\n", t.name, t.missing)
			continue
		}
		chosen = append(chosen, t)
	}
	return chosen
}

func notFound(name string) string {
	if _, err := exec.LookPath(name); err != nil {
		return "not installed"
	}
	return ""
}

// running is a target that answers.
type running struct {
	*process
	target
	address string
	dir     string
}

// run starts a target in a fresh directory and waits until it listens.
func (b *bench) run(ctx context.Context, t target, secure bool) (*running, error) {
	r := &running{target: t, address: b.plain, process: b.upstream}
	if t.start == nil {
		return r, nil
	}
	var err error
	if r.dir, err = os.MkdirTemp(b.work, t.name+"-"); err != nil {
		return nil, err
	}
	if r.address, err = freeAddress(); err != nil {
		return nil, err
	}
	upstream := "http://" + b.plain
	if secure {
		upstream = "https://" + b.secure
	}
	if r.process, err = t.start(b, r.address, upstream, r.dir); err != nil {
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}
	if err := r.ready(ctx, r.address); err != nil {
		r.kill()
		return nil, err
	}
	return r, nil
}

// end stops a target and removes what it wrote.
func (r *running) end() {
	if r.start != nil {
		r.stop()
		_ = os.RemoveAll(r.dir)
	}
}

// open prepares the directory, the certificate and the mock upstream.
func (o options) open(ctx context.Context) (*bench, error) {
	b := &bench{options: o}
	var err error
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return nil, err
	}
	if b.work, err = os.MkdirTemp(o.dir, "bench-"); err != nil {
		return nil, err
	}
	if b.work, err = filepath.Abs(b.work); err != nil {
		return nil, err
	}
	b.roots, b.key = filepath.Join(b.work, "roots.pem"), filepath.Join(b.work, "key.pem")
	if err := writeCertificate(b.roots, b.key); err != nil {
		return nil, err
	}
	if b.plain, err = freeAddress(); err == nil {
		b.secure, err = freeAddress()
	}
	if err != nil {
		return nil, err
	}
	if b.upstream, err = spawn(nil, b.self, "upstream", b.plain, b.secure, b.roots, b.key); err != nil {
		return nil, err
	}
	return b, errors.Join(b.upstream.ready(ctx, b.plain), b.upstream.ready(ctx, b.secure))
}

func (b *bench) close() {
	if b.upstream != nil {
		b.upstream.kill()
	}
	_ = os.RemoveAll(b.work)
}

// writeCertificate makes an authority for loopback that nothing else trusts.
func writeCertificate(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

func startNginx(b *bench, address, upstream, dir string) (*process, error) {
	scheme, host, _ := strings.Cut(upstream, "://")
	conf := fmt.Sprintf(`worker_processes 2; daemon off; pid %[1]s/pid; error_log %[1]s/error.log error; worker_rlimit_nofile 20000;
events { worker_connections 19900; }
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  client_max_body_size 20m; client_body_buffer_size 512k; keepalive_requests 1000000000;
  upstream up { server %[2]s; keepalive 1024; keepalive_requests 1000000000; }
  server { listen %[3]s backlog=4096; location / { proxy_pass %[4]s://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    proxy_ssl_protocols TLSv1.3; proxy_ssl_trusted_certificate %[5]s; proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_session_reuse on; } }
}`, dir, host, address, scheme, b.roots)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	return spawn(nil, b.nginx, "-p", dir, "-c", file, "-e", filepath.Join(dir, "error.log"))
}

func startLiteLLM(_ *bench, address, upstream, dir string) (*process, error) {
	var list strings.Builder
	for _, m := range benchModels {
		fmt.Fprintf(&list, "  - {model_name: %s, litellm_params: {model: openai/%s, api_base: %s/v1, api_key: none}}\n", m, m, upstream)
	}
	file := filepath.Join(dir, "litellm.yaml")
	if err := os.WriteFile(file, []byte("model_list:\n"+list.String()+"general_settings: {master_key: sk-bench}\n"), 0o600); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(address)
	// Its list of prices comes with it: it is not to be fetched.
	return spawn([]string{"LITELLM_TELEMETRY=False", "LITELLM_LOCAL_MODEL_COST_MAP=True"}, "litellm", "--config", file, "--host", host, "--port", port, "--telemetry", "False")
}

// portkeyScript is the file that starts Portkey's gateway.
func portkeyScript() string {
	if s := os.Getenv("PORTKEY_GATEWAY"); s != "" {
		return s
	}
	return filepath.Join("node_modules", "@portkey-ai", "gateway", "build", "start-server.js")
}

func portkeyMissing() string {
	if _, err := os.Stat(portkeyScript()); err != nil {
		return "not installed; PORTKEY_GATEWAY names its start-server.js"
	}
	return notFound("node")
}

func startPortkey(_ *bench, address, _, _ string) (*process, error) {
	_, port, _ := net.SplitHostPort(address)
	return spawn(nil, "node", portkeyScript(), "--port="+port, "--headless")
}
