// Package filter decides which packets pass between peers and the host.
package filter
