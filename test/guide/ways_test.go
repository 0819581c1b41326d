package guide

import "regexp"

// A way is what is done with commands that match.
type way struct {
	what *regexp.Regexp
	// document, if there is one, says in which.
	document string
	do       func(*reader, command)
	// test runs such a command in another place: a folder, a colon, and its name.
	test string
	// missing says what this machine lacks, so that nobody runs it.
	missing string
}

func matching(what string) *regexp.Regexp { return regexp.MustCompile("^(?:" + what + ")") }

const (
	// lease is what a rollspan in a pod would have made, and claim what a release has left.
	lease = `kubectl create -f - <<END
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: rollspan, namespace: rollspan}}
END`
	claim = `kubectl create -f - <<END
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: rollspan-data, namespace: rollspan},
 spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}}
END`
)

// ways has the commands that are not simply run; the first that matches counts.
var ways = []way{
	// The reader's machine.
	{what: matching(`git clone `), missing: "the public repository; the reader stands in a copy of this one"},
	{what: matching(`kind `), missing: "a container engine"},
	{what: matching(`kubectl logs `), missing: "a kubelet that keeps logs: the nodes are played"},

	{what: matching(`ln -s "\$\(command -v rollspan\)" `), test: "test/guide:TestPlugin"},
	{what: matching(`source <\(rollspan completion `), test: "pkg/cli:TestStatusOnCluster"},
	{what: matching(`exec rollspan __complete `), test: "test/guide:TestPlugin"},

	// What is a test itself, or takes long.
	{what: matching(`make (?:test|unit|ui-test|lint|bench|help)\b`), missing: "sense: this is one of the tests that make test runs"},
	{what: matching(`make demo-cluster DEMO_ARGS=--current-cluster`), test: "test/demo:TestDemoOnCurrentCluster"},
	{what: matching(`make image PUSH=`), test: "test/tools/image:TestPush"},
	{what: matching(`curl .*localhost:8080/metrics`), test: "test/e2e:TestMetrics"},
	{what: matching(`(?:[A-Z]+=\S+ )?go test `), missing: "time: these are measurements, which make bench has"},
	{what: matching(`rollspan replay test/recordings/`), test: "pkg/cli:TestDocumentedTrees"},
	{what: matching(`rollspan run --webhook-url `), test: "pkg/cli:TestWebhook"},

	// What a pod does.
	{what: matching(`kubectl -n rollspan exec deployment/rollspan -- /rollspan doctor$`), document: "deploy/examples/many-clusters/README.md", test: "pkg/otlp/export:TestTLS"},
	{what: matching(`kubectl -n rollspan exec deployment/rollspan -- /rollspan `), do: (*reader).inPod},
	{what: matching(`kubectl .*\bport-forward `), do: (*reader).forwards},

	// What ends when the reader says so, or would take long.
	{what: matching(`(?:bin/)?rollspan demo\b`), do: (*reader).faster},
	{what: matching(`(?:bin/)?rollspan run\b`), do: (*reader).untilWatching},
	{what: matching(`(?:bin/)?rollspan ui\b`), do: (*reader).untilServed},
	{what: matching(`(?:bin/)?rollspan record\b`), do: (*reader).untilRecorded},

	// What is there once.
	{what: matching(`helm install rollspan `), do: (*reader).anew},
	{what: matching(`kubectl apply -[fk] (?:deploy/|mine)$`), do: (*reader).anew},
	{what: matching(`helm (?:upgrade|rollback|uninstall) rollspan |kubectl apply -k deploy/examples/collector$`), do: (*reader).onRelease},
	{what: matching(`kubectl --namespace rollspan delete lease/rollspan$`), do: after(lease)},
	{what: matching(`kubectl --namespace rollspan delete persistentvolumeclaim/rollspan-data$`), do: after(claim)},
	{what: matching(`kubectl -n rollspan create secret generic rollspan-ui `), do: (*reader).withRollspan},
	{what: matching(`kubectl create namespace `), do: (*reader).withoutNamespace},
	{what: matching(`kubectl create deployment web `), do: after("kubectl delete deployment web --wait")},
	{what: matching(`otelcol-contrib `), do: (*reader).inItsFolder},
}
