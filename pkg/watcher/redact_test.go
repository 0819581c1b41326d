package watcher

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func redacted(t *testing.T, r *Redactor, object string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		t.Fatal(err)
	}
	r.Object(m)
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const secretEnv = `"env":[{"name":"A","value":"s3cret"},{"name":"B","value":""},{"name":"C","valueFrom":{"secretKeyRef":{"name":"n","key":"k"}}}]`

// secretContainer has a secret wherever people put them.
const secretContainer = `{"name":"c","image":"example/web:1",` + secretEnv + `,"args":["--password=s3cret"],"command":["sh","s3cret"],"workingDir":"/s3cret",
	"readinessProbe":{"httpGet":{"port":"http","path":"/?token=s3cret","host":"s3cret","httpHeaders":[{"name":"Authorization","value":"s3cret"}]}},
	"livenessProbe":{"exec":{"command":["curl","s3cret"]},"grpc":{"port":1,"service":"s3cret"}},"startupProbe":{"tcpSocket":{"port":1,"host":"s3cret"}},
	"lifecycle":{"preStop":{"exec":{"command":["s3cret"]}},"postStart":{"httpGet":{"port":1,"httpHeaders":[{"name":"X","value":"s3cret"}]}}},
	"fromALaterVersion":{"key":"s3cret","list":[["s3cret"]]}}`

const secretVolumes = `"volumes":[{"name":"v","csi":{"driver":"d","volumeAttributes":{"key":"s3cret"}}},
	{"name":"f","flexVolume":{"driver":"d","options":{"key":"s3cret"}}},{"name":"g","gitRepo":{"repository":"https://u:s3cret@example.com"}},
	{"name":"n","nfs":{"server":"s3cret","path":"s3cret"}},
	{"name":"e","ephemeral":{"volumeClaimTemplate":{"metadata":{"annotations":{"a":"s3cret"}},"spec":{"storageClassName":"fast"}}}}]`

const secretPodSpec = `{"initContainers":[` + secretContainer + `],"containers":[` + secretContainer + `],"ephemeralContainers":[` + secretContainer + `],
	` + secretVolumes + `,"hostAliases":[{"ip":"s3cret","hostnames":["s3cret"]}],"priorityClassName":"high"}`

const secretTemplate = `"template":{"metadata":{"labels":{"a":"b"},"annotations":{"vault":"s3cret","env":"- env:\n  - value: s3cret","n":"{\"env\":[{\"value\":\"s3cret\"}]}"}},"spec":` + secretPodSpec + `}`

const secretMetadata = `"metadata":{"name":"web","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"s3cret\":1}","deployment.kubernetes.io/revision":"3"},
	"managedFields":[{"manager":"kubectl","fieldsV1":{"f:spec":{"f:template":{"v:\"s3cret\"":{},"k:{\"name\":\"c\"}":{".":{}},"k:{\"url\":\"s3cret\"}":{}}}}}]}`

// secretObjects have secrets in all kinds that there are templates in.
func secretObjects() map[string]string {
	objects := map[string]string{
		"Pod": `{"kind":"Pod",` + secretMetadata + `,"spec":` + secretPodSpec + `,"status":{"containerStatuses":[{"name":"c",
			"state":{"terminated":{"exitCode":1,"reason":"Error","message":"s3cret"}},"lastState":{"terminated":{"exitCode":1,"message":"s3cret"}}}]}}`,
		"CronJob": `{"kind":"CronJob",` + secretMetadata + `,"spec":{"jobTemplate":{"spec":{` + secretTemplate + `}}}}`,
		"ControllerRevision": `{"kind":"ControllerRevision",` + secretMetadata + `,"revision":3,
			"data":{"password":"s3cret","spec":{` + secretTemplate + `}}}`,
		// Of other kinds only the metadata is recorded, and who knows what else they have.
		"Shop": `{"kind":"Shop",` + secretMetadata + `,"spec":{"password":"s3cret",` + secretTemplate + `}}`,
	}
	for _, kind := range []string{"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController"} {
		objects[kind] = `{"kind":"` + kind + `",` + secretMetadata + `,"spec":{` + secretTemplate + `,"volumeClaimTemplates":[{"metadata":{"annotations":{"a":"s3cret"}}}]}}`
	}
	return objects
}

func TestRedact(t *testing.T) {
	for name, object := range secretObjects() {
		got := redacted(t, NewRedactor(), object)
		if strings.Contains(got, "s3cret") {
			t.Errorf("%s: %s", name, got)
		}
		for _, public := range []string{`"web"`, `"3"`} {
			if !strings.Contains(got, public) {
				t.Errorf("%s: there is no %s: %s", name, public, got)
			}
		}
		if name == "ControllerRevision" {
			if strings.Contains(got, `"data"`) || !strings.Contains(got, `"revision":3`) {
				t.Errorf("%s: %s", name, got)
			}
			continue
		}
		if !regexp.MustCompile(`"redacted:[0-9a-f]{8}"`).MatchString(got) {
			t.Errorf("%s: nothing is redacted: %s", name, got)
		}
		if name == "Shop" {
			continue
		}
		for _, public := range []string{
			`"example/web:1"`, `"secretKeyRef":{"key":"k","name":"n"}`, `{"name":"B","value":""}`, `"Authorization"`, `"fast"`, `"high"`,
			`"f:template"`, `k:{\"name\":\"c\"}`, `"kubectl"`, `"path":"redacted:`,
		} {
			if !strings.Contains(got, public) {
				t.Errorf("%s: there is no %s: %s", name, public, got)
			}
		}
	}
}

// What is asked for is kept, and nothing else.
func TestRedactKeeps(t *testing.T) {
	object := `{"kind":"Pod","metadata":{"name":"web","annotations":{"note":"ANNOTATION"}},
		"spec":{"containers":[{"name":"c",` + secretEnv + `,"args":["ARG"],"command":["COMMAND"],
		"readinessProbe":{"httpGet":{"path":"/HEADER","host":"HEADER","httpHeaders":[{"name":"X","value":"HEADER"}]}},
		"lifecycle":{"preStop":{"exec":{"command":["COMMAND"]}}}}],
		"volumes":[{"name":"v","csi":{"volumeAttributes":{"a":"VOLUME"}}},{"name":"f","flexVolume":{"options":{"a":"VOLUME"}}}]},
		"status":{"containerStatuses":[{"name":"c","state":{"terminated":{"message":"TERMINATION"}},"lastState":{"terminated":{"message":"TERMINATION"}}}]}}`
	values := map[string]string{
		keepArgs: "ARG", keepCommands: "COMMAND", keepHeaders: "HEADER", keepAnnotations: "ANNOTATION",
		keepVolumeAttributes: "VOLUME", keepTerminationMessages: "TERMINATION",
	}
	if len(values) != len(Keepable()) {
		t.Fatalf("%q can be kept", Keepable())
	}
	for _, name := range Keepable() {
		if err := CheckKeep([]string{name}); err != nil {
			t.Error(err)
		}
		got := redacted(t, NewRedactor(name), object)
		for of, value := range values {
			want := 0
			if of == name {
				want = strings.Count(object, value)
			}
			if n := strings.Count(got, value); n != want {
				t.Errorf("with %s %d of %s are kept, want %d: %s", name, n, of, want, got)
			}
		}
		if strings.Contains(got, "s3cret") {
			t.Errorf("with %s an environment variable is kept: %s", name, got)
		}
	}
}

// Annotations that are copies of objects are not kept: there may be environment
// variables in them, in whatever format.
func TestRedactKeepsNoCopies(t *testing.T) {
	for annotation, kept := range map[string]bool{
		`plain`: true,
		`00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`: true,
		`{"replicas":1, "n":1}`:                                   true,
		`{"env": s3cret`:                                          false,
		`{"spec":{"containers":[{"args":["s3cret"]}]}}`:           false,
		"spec:\n  Env:\n  - value: s3cret":                        false,
		`H4sIAAAAAAAA/8pIzcnJBwAAAP//`:                            false, // "hello", as rancher and others keep what they applied
		`eyJzcGVjIjp7ImNvbnRhaW5lcnMiOltdfX0=`:                    false, // {"spec":{"containers":[]}}
		`ZW52OiBbe3ZhbHVlOiAiw78_PiJ9XQ`:                          false,
		`eyJub3RlIjoiaGVsbG8ifQ==`:                                true,  // {"note":"hello"}
		`{"\u0065nv":[]}`:                                         false, // letters may be written as escapes
		`"{\"spec\":{\"\\u0063ontainers\":[]}}"`:                  false,
		`e: "\x65\U0000006ev"`:                                    false,
		`{"note":"a \u003c b"}`:                                   true,
		`UEsDBBQAAAAIAA`:                                          false,
		`KLUv/SQ`:                                                 false,
	} {
		got := redacted(t, NewRedactor(keepAnnotations), `{"metadata":{"annotations":{"a":`+quoted(annotation)+`}}}`)
		if strings.Contains(got, quoted(annotation)) != kept {
			t.Errorf("%s: %s", annotation, got)
		}
	}
	// Of a custom resource such a copy has neither of the words.
	for key := range copied("") {
		got := redacted(t, NewRedactor(keepAnnotations), `{"metadata":{"annotations":{`+quoted(key)+`:"spec.password: s3cret"}}}`)
		if strings.Contains(got, "s3cret") != (key == "example.com/team") {
			t.Errorf("%s: %s", key, got)
		}
	}
}

// Changes between values show, and are the same everywhere in one recording,
// but not in another.
func TestRedactKeepsDifferences(t *testing.T) {
	r := NewRedactor()
	first, again := r.value("a"), r.value("a")
	if first != again || first == r.value("b") {
		t.Error("values cannot be compared")
	}
	if r.value("a") == NewRedactor().value("a") {
		t.Error("two recordings have one key")
	}
}
