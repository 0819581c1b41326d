// Package chart tests what installs rollspan: the Helm chart in deploy/helm, and that the
// plain manifests in config and deploy say the same. Real helm renders and checks it, and
// the real kubectl has its kustomize; package e2e installs it into a cluster.
//
// The goldens are what helm 4 prints, so that all of an object is in them. What matters of each
// combination is said in deploy/helm/rollspan/tests, which helm-unittest runs; it renders with
// helm 3.
package chart
