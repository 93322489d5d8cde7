#!/bin/bash
# Django's static files. Sourced by compile.
# shellcheck disable=SC2154 # what compile sets

# Runs collectstatic for a Django app that has it, unless DISABLE_COLLECTSTATIC is set.
# https://devcenter.heroku.com/articles/django-assets
collect_static() {
  local manage output
  manage=$(find . -maxdepth 3 -type f -name manage.py -not -path './.heroku/*' -printf '%d %P\n' | sort -n | head -n 1 | cut -d ' ' -f 2-)
  [[ -n $manage && -d $(echo "$environment"/lib/python3*/site-packages/django) ]] || return 0
  if [[ -n ${DISABLE_COLLECTSTATIC-} && $DISABLE_COLLECTSTATIC != 0 ]]; then
    topic "Skipping Django's collectstatic, as DISABLE_COLLECTSTATIC is set"
    return
  fi
  output=$(PYTHONPATH=$build_dir "$environment/bin/python" "$manage" help --commands 2>&1) || true
  if ! grep -qx collectstatic <<<"$output"; then
    if [[ $output == *Error* || $output == *Traceback* ]]; then
      indent <<<"$output"
      fail "$manage: Django cannot load the app's settings, see above: mend them, or set DISABLE_COLLECTSTATIC=1"
    fi
    return 0 # django.contrib.staticfiles is not among the app's
  fi
  topic "$ python $manage collectstatic --noinput"
  PYTHONPATH=$build_dir "$environment/bin/python" "$manage" collectstatic --noinput --traceback 2>&1 | sed '/^Post-processed/d;/^Copying/d;/^$/d' | indent ||
    fail "$manage: collectstatic failed, see above: mend it, or set DISABLE_COLLECTSTATIC=1 for apps without static files"
}
