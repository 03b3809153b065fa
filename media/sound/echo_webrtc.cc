//go:build webrtcapm

#include <new>

#include <webrtc/modules/audio_processing/include/audio_processing.h>

extern "C" {
#include "echo_webrtc.h"
}

// No exception may leave C++; the library throws none but for
// want of memory.
struct herald_apm {
  webrtc::AudioProcessing *apm;
  webrtc::StreamConfig shape;
  int blocks, delay;  // ms; 0: not known
};

herald_apm *herald_apm_new(int rate) {
  try {
    webrtc::Config config;
    config.Set<webrtc::ExtendedFilter>(new webrtc::ExtendedFilter(true));
    config.Set<webrtc::DelayAgnostic>(new webrtc::DelayAgnostic(true));
    webrtc::AudioProcessing *apm = webrtc::AudioProcessing::Create(config);
    if (!apm) return nullptr;
    int code = apm->high_pass_filter()->Enable(true);
    code |= apm->echo_cancellation()->enable_drift_compensation(false);
    code |= apm->echo_cancellation()->set_suppression_level(webrtc::EchoCancellation::kLowSuppression);
    code |= apm->echo_cancellation()->enable_delay_logging(true);
    code |= apm->echo_cancellation()->Enable(true);
    code |= apm->noise_suppression()->set_level(webrtc::NoiseSuppression::kModerate);
    code |= apm->noise_suppression()->Enable(true);
    code |= apm->gain_control()->set_mode(webrtc::GainControl::kAdaptiveDigital);
    code |= apm->gain_control()->set_target_level_dbfs(6);
    code |= apm->gain_control()->set_compression_gain_db(6);
    code |= apm->gain_control()->enable_limiter(true);
    code |= apm->gain_control()->Enable(true);
    if (code) {
      delete apm;
      return nullptr;
    }
    return new herald_apm{apm, webrtc::StreamConfig(rate, 1), 0, 0};
  } catch (const std::bad_alloc &) {
    return nullptr;
  }
}

int herald_apm_clean(herald_apm *a, float *near, float *far) {
  int code = a->apm->ProcessReverseStream(&far, a->shape, a->shape, &far);
  if (code) return code;
  a->apm->set_stream_delay_ms(0);  // it finds out by itself
  code = a->apm->ProcessStream(&near, a->shape, a->shape, &near);
  int median, deviation;
  float poor;
  // It sums up the last second.
  if (++a->blocks % 100 == 0 && a->apm->echo_cancellation()->GetDelayMetrics(&median, &deviation, &poor) == 0 && median > 0)
    a->delay = median;
  return code;
}

int herald_apm_delay(const herald_apm *a) { return a->delay; }

void herald_apm_free(herald_apm *a) {
  delete a->apm;
  delete a;
}
