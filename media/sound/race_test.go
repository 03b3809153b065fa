//go:build race

package sound

const raceDetector = true // all takes ten times as long
