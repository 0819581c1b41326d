package export

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// setEnv clears every OTLP variable of the machine the test runs on, and sets
// vars, given as NAME=value after the common prefix.
func setEnv(t *testing.T, vars ...string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	for _, kv := range vars {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv("OTEL_EXPORTER_OTLP_"+name, value)
	}
}

func parseFlags(t *testing.T, args ...string) *Config {
	t.Helper()
	var c Config
	fs := pflag.NewFlagSet("rollspan", pflag.ContinueOnError)
	c.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &c
}

func TestConfigSources(t *testing.T) {
	type want struct {
		configured bool
		protocol   string
		target     string
		plain      bool
		timeout    time.Duration
		gzip       bool
		headers    string
	}
	local := want{protocol: ProtocolGRPC, target: "http://localhost:4317", plain: true, timeout: DefaultTimeout}
	set := func(change func(*want)) want {
		w := local
		w.configured = true
		change(&w)
		return w
	}
	for name, c := range map[string]struct {
		env, flags []string
		want       want
	}{
		"nothing": {want: local},
		"a protocol alone": {
			env:  []string{"PROTOCOL=http/protobuf"},
			want: want{protocol: ProtocolHTTP, target: "http://localhost:4318/v1/traces", plain: true, timeout: DefaultTimeout},
		},
		"URL, grpc": {
			env:  []string{"ENDPOINT=http://collector:4317"},
			want: set(func(w *want) { w.gzip, w.target = true, "http://collector:4317" }),
		},
		"URL, TLS": {
			env:  []string{"ENDPOINT=https://collector.example"},
			want: set(func(w *want) { w.gzip, w.target, w.plain = true, "https://collector.example", false }),
		},
		"port 4318 means HTTP": {
			env:  []string{"ENDPOINT=http://collector:4318"},
			want: set(func(w *want) { w.gzip, w.protocol, w.target = true, ProtocolHTTP, "http://collector:4318/v1/traces" }),
		},
		"unless told otherwise": {
			env:   []string{"ENDPOINT=http://collector:4318"},
			flags: []string{"--otlp-protocol=grpc"},
			want:  set(func(w *want) { w.gzip, w.target = true, "http://collector:4318" }),
		},
		"the base of all signals": {
			env: []string{"ENDPOINT=https://vendor.example/otlp/", "PROTOCOL=http/protobuf"},
			want: set(func(w *want) {
				w.gzip, w.protocol, w.target, w.plain = true, ProtocolHTTP, "https://vendor.example/otlp/v1/traces", false
			}),
		},
		"the path is there already": {
			flags: []string{"--otlp-endpoint=http://collector:4318/v1/traces"},
			want:  set(func(w *want) { w.gzip, w.protocol, w.target = true, ProtocolHTTP, "http://collector:4318/v1/traces" }),
		},
		"the URL of traces as it is": {
			env:  []string{"TRACES_ENDPOINT=http://collector:4318", "ENDPOINT=http://other:4317", "TRACES_PROTOCOL=http/protobuf"},
			want: set(func(w *want) { w.gzip, w.protocol, w.target = true, ProtocolHTTP, "http://collector:4318/" }),
		},
		"host:port has TLS": {
			flags: []string{"--otlp-endpoint=127.0.0.1:4317"},
			want:  set(func(w *want) { w.target, w.plain = "https://127.0.0.1:4317", false }),
		},
		"host:port without": {
			env:  []string{"ENDPOINT=collector:4317", "INSECURE=true"},
			want: set(func(w *want) { w.gzip, w.target = true, "http://collector:4317" }),
		},
		"insecure says nothing about a URL": {
			flags: []string{"--otlp-insecure", "--otlp-endpoint=https://collector:4317"},
			want:  set(func(w *want) { w.gzip, w.target, w.plain = true, "https://collector:4317", false }),
		},
		"a socket": {
			flags: []string{"--otlp-endpoint=unix:///run/collector.sock"},
			want:  set(func(w *want) { w.target = "unix:///run/collector.sock" }),
		},
		"compression off": {
			env:  []string{"ENDPOINT=http://collector:4317", "COMPRESSION=none"},
			want: set(func(w *want) { w.target = "http://collector:4317" }),
		},
		"flags win": {
			env: []string{
				"ENDPOINT=http://a:4318", "TRACES_ENDPOINT=http://b:4318", "PROTOCOL=http/protobuf", "TRACES_PROTOCOL=http/protobuf",
				"HEADERS=a=1", "TRACES_HEADERS=b=2", "TIMEOUT=1", "TRACES_TIMEOUT=2", "COMPRESSION=none", "TRACES_COMPRESSION=none",
			},
			flags: []string{
				"--otlp-endpoint=http://c:1", "--otlp-protocol=grpc", "--otlp-headers=x-c=a%2Cb, d=4", "--otlp-timeout=3s", "--otlp-compression=gzip",
			},
			want: set(func(w *want) {
				w.target, w.timeout, w.gzip, w.headers = "http://c:1", 3*time.Second, true, "map[d:4 x-c:a,b]"
			}),
		},
		"the variables of traces come next": {
			env: []string{
				"ENDPOINT=http://a:4317", "TRACES_ENDPOINT=http://b:4317", "HEADERS=a=1", "TRACES_HEADERS=b=2",
				"TIMEOUT=1", "TRACES_TIMEOUT=2000", "COMPRESSION=none", "TRACES_COMPRESSION=gzip",
			},
			want: set(func(w *want) {
				w.target, w.timeout, w.gzip, w.headers = "http://b:4317", 2*time.Second, true, "map[b:2]"
			}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			setEnv(t, c.env...)
			config := parseFlags(t, c.flags...)
			s, err := config.resolve()
			if err != nil {
				t.Fatal(err)
			}
			got := want{
				configured: config.Configured(), protocol: s.protocol, target: s.endpoint.target, plain: s.endpoint.plain,
				timeout: s.timeout, gzip: s.gzip,
			}
			if len(s.headers) > 0 {
				got.headers = fmt.Sprint(s.headers)
			}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if (s.tls == nil) != s.endpoint.plain {
				t.Errorf("plain is %v, and TLS %v", s.endpoint.plain, s.tls)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env, flags []string
		// want are parts of the error.
		want []string
	}{
		{env: []string{"TRACES_PROTOCOL=http/json"}, want: []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", `"grpc"`, `"http/protobuf"`}},
		{flags: []string{"--otlp-protocol=kafka"}, want: []string{"--otlp-protocol", `"kafka"`}},
		{env: []string{"TIMEOUT=10s"}, want: []string{"OTEL_EXPORTER_OTLP_TIMEOUT", "10000"}},
		{flags: []string{"--otlp-timeout=-1s"}, want: []string{"--otlp-timeout", "more than 0"}},
		{env: []string{"COMPRESSION=zstd"}, want: []string{"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip or none"}},
		{env: []string{"INSECURE=yes"}, want: []string{"OTEL_EXPORTER_OTLP_INSECURE", "true nor false"}},
		{env: []string{"ENDPOINT=collector"}, want: []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:4317"}},
		{env: []string{"ENDPOINT=http://collector"}, want: []string{"no port", "http://collector:4317"}},
		{env: []string{"ENDPOINT=tcp://collector:1"}, want: []string{`"tcp"`}},
		{env: []string{"ENDPOINT=http://:4317/x?y"}, want: []string{"?"}},
		{env: []string{"ENDPOINT=http://"}, want: []string{"no host"}},
		{env: []string{"ENDPOINT=collector:4318", "PROTOCOL=http/protobuf"}, want: []string{"must be a URL"}},
		{env: []string{"ENDPOINT=https://me:s3cr3t@collector:4317"}, want: []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "HEADERS"}},
		{
			env:   []string{"ENDPOINT=http://me:s3cr3t%zz@collector"},
			flags: []string{"--otlp-endpoint=http://collector:4317"},
			want:  []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "not a URL"},
		},
		{
			env:   []string{"ENDPOINT=1:s3cr3t@collector:4317"},
			flags: []string{"--otlp-endpoint=http://collector:4317"},
			want:  []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "not a URL"},
		},
		{flags: []string{"--otlp-headers=authorization:s3cr3t"}, want: []string{"--otlp-headers", "entry 1", "name=value"}},
		{flags: []string{"--otlp-headers=a=1,authorization=s3cr3t%"}, want: []string{"--otlp-headers", "entry 2", "%25"}},
		{flags: []string{"--otlp-headers=authorization=Bearer a,s3cr3t=%"}, want: []string{"--otlp-headers", "entry 2"}},
		{
			env:   []string{"HEADERS=s3cr3t"},
			flags: []string{"--otlp-headers=a=1"},
			want:  []string{"OTEL_EXPORTER_OTLP_HEADERS", "entry 1"},
		},
		{flags: []string{"--otlp-endpoint=http://c:1", "--otlp-certificate=" + file}, want: []string{"--otlp-certificate", "https://"}},
		{flags: []string{"--otlp-endpoint=c:1", "--otlp-certificate=" + file}, want: []string{"--otlp-certificate", "PEM"}},
		{flags: []string{"--otlp-endpoint=c:1", "--otlp-certificate=" + file + "x"}, want: []string{"--otlp-certificate", "no such file"}},
		{flags: []string{"--otlp-endpoint=c:1", "--otlp-client-key=" + file}, want: []string{"--otlp-client-key", "--otlp-client-certificate"}},
		{flags: []string{"--otlp-endpoint=c:1", "--otlp-client-certificate=" + file}, want: []string{"--otlp-client-key"}},
		{flags: []string{"--otlp-queue-spans=-1", "--otlp-batch-spans=-1"}, want: []string{"--otlp-queue-spans", "--otlp-batch-spans"}},
	} {
		t.Run(strings.Join(append(c.env, c.flags...), " "), func(t *testing.T) {
			setEnv(t, c.env...)
			err := parseFlags(t, c.flags...).Validate()
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error tells the secret: %q", err)
			}
		})
	}
}

func TestHeadersDoNotPrint(t *testing.T) {
	c := parseFlags(t, "--otlp-headers=authorization=s3cr3t")
	for _, verb := range []string{"%v", "%+v", "%s"} {
		if s := fmt.Sprintf(verb, *c); strings.Contains(s, "s3cr3t") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
	got, err := parseHeaders("a=1,,b=x=y, c = d%20e ")
	if want := map[string]string{"a": "1", "b": "x=y", "c": "d e"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}
