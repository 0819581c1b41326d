package watcher

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- {name: one, cluster: {server: "https://127.0.0.1:1"}}
contexts:
- {name: prod, context: {cluster: one, user: me}}
- {name: test, context: {cluster: one, user: me}}
users:
- {name: me, user: {token: s3cret}}
`

func TestConnection(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good", kubeconfig+"current-context: prod\n")
	noCurrent := write("none", kubeconfig)
	lost := write("lost", kubeconfig+"current-context: gone\n")
	rubbish := write("rubbish", "{{{")
	missing := filepath.Join(dir, "missing")

	for name, test := range map[string]struct {
		connection Connection
		env        string
		want       string // in the error; empty for none
	}{
		"file":            {Connection{Kubeconfig: good}, "", ""},
		"context":         {Connection{Kubeconfig: good, Context: "test"}, "", ""},
		"env":             {Connection{}, good, ""},
		"env, two files":  {Connection{}, missing + string(os.PathListSeparator) + good, ""},
		"missing":         {Connection{Kubeconfig: missing}, "", "kubeconfig " + missing + ": there is no such file"},
		"missing in env":  {Connection{}, missing, "no cluster to talk to: " + missing},
		"rubbish":         {Connection{Kubeconfig: rubbish}, "", "kubeconfig " + rubbish},
		"unknown context": {Connection{Kubeconfig: good, Context: "nope"}, "", `has no context "nope"; it has: prod, test`},
		"lost context":    {Connection{Kubeconfig: lost}, "", `has no context "gone"; it has: prod, test`},
		"no current":      {Connection{Kubeconfig: noCurrent}, "", "has no current context; choose one with --context: prod, test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", test.env)
			t.Setenv("HOME", dir)
			config, err := test.connection.RESTConfig()
			if test.want == "" {
				if err != nil || config.Host != "https://127.0.0.1:1" || config.QPS != defaultQPS || config.Burst != defaultBurst {
					t.Errorf("%v, %v", config, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v\nwant %s", err, test.want)
			}
		})
	}
}

// TestConnectionHidesLogins has no password of a URL in a host, which is logged, or in
// an error.
func TestConnectionHidesLogins(t *testing.T) {
	const login = "me:s3cret-password@"
	for name, test := range map[string]struct {
		cluster, user string
		want          rest.Config // of which Host, Username, Password and BearerToken count
		err           string
	}{
		"server": {
			cluster: `server: "https://` + login + `127.0.0.1:1/prefix"`,
			want:    rest.Config{Host: "https://127.0.0.1:1/prefix", Username: "me", Password: "s3cret-password"},
		},
		"no scheme": {
			cluster: `server: "` + login + `127.0.0.1:1"`,
			want:    rest.Config{Host: "http://127.0.0.1:1", Username: "me", Password: "s3cret-password"},
		},
		"beside a token": {
			cluster: `server: "https://` + login + `127.0.0.1:1"`, user: "token: t0ken",
			want: rest.Config{Host: "https://127.0.0.1:1", BearerToken: "t0ken"},
		},
		"no login": {
			cluster: `server: "https://127.0.0.1:1"`, user: "{username: you, password: other}",
			want: rest.Config{Host: "https://127.0.0.1:1", Username: "you", Password: "other"},
		},
		"no URL": {
			cluster: `server: "https://` + login + `127.0.0.1:1/\r"`,
			err:     "the server of the cluster is not a URL",
		},
		"no host": {
			cluster: `server: "` + login + `127.0.0.1:1/path"`,
			err:     "the server of the cluster is not a URL",
		},
		"scheme of the proxy": {
			cluster: `{server: "https://127.0.0.1:1", proxy-url: "ftp://` + login + `127.0.0.1:2"}`,
			err:     `the proxy-url of cluster "one" is not the URL of a proxy`,
		},
		"no proxy": {
			cluster: `{server: "https://127.0.0.1:1", proxy-url: "http://` + login + `127.0.0.1:2/\n"}`,
			err:     `the proxy-url of cluster "one" is not the URL of a proxy`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			braced := func(s string) string { return "{" + strings.Trim(s, "{}") + "}" }
			path := filepath.Join(t.TempDir(), "config")
			content := "apiVersion: v1\nkind: Config\ncurrent-context: prod\ncontexts: [{name: prod, context: {cluster: one, user: me}}]\n" +
				"clusters: [{name: one, cluster: " + braced(test.cluster) + "}]\nusers: [{name: me, user: " + braced(test.user) + "}]\n"
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			config, err := (&Connection{Kubeconfig: path}).RESTConfig()
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), path+": "+test.err) || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%v\nwant %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := rest.Config{Host: config.Host, Username: config.Username, Password: config.Password, BearerToken: config.BearerToken}
			if got.String() != test.want.String() || got.Password != test.want.Password || got.BearerToken != test.want.BearerToken {
				t.Errorf("host %s, user %q, password %q, token %q", got.Host, got.Username, got.Password, got.BearerToken)
			}
		})
	}
}
