//go:build !race

package sound

const raceDetector = false
