// Package chart tests what installs rollspan: the Helm chart in deploy/helm, and that the
// plain manifests in config and deploy say the same. Real helm renders and checks it, and
// the real kubectl has its kustomize; package e2e installs it into a cluster.
//
// The goldens are not those of helm-unittest. Its v1.1.2 renders with the engine of helm 3, which
// TestHelm3 holds to the goldens of helm 4. Whoever adds it needs in its go.mod the replacement of
// github.com/vmware-labs/yaml-jsonpath that its own go.mod has: without that it does not compile.
package chart
