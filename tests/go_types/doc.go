// Package gotypes reads and writes the resource with the Go types of the predecessor, as Eventing Manager imports them.
// go.mod has the version that Eventing Manager has (its commit 90ca37ae).
package gotypes
