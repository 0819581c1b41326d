package watcher

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
