// Package guide runs the commands that README.md, the guide, the chart's README and the examples
// show, in their order, as a reader would who has this machine: with the real kubectl and helm, on
// a real control plane, in a copy of the checkout. What is not run is listed, with the test that
// does it in another place, or with what there would have to be.
package guide
