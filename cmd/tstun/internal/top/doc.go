// Package top is the live view of what a tunnel carries and refuses.
//
// It asks the tunnel again and again, never for more than 500 connections and 500 refused
// flows, and so seldom that asking takes at most a 33rd of the time. The screen is
// drawn at most four times a second.
package top
