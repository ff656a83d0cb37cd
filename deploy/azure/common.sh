# shellcheck shell=bash
# What the scripts here have in common: reading arguments, and asking az. To be sourced.

dry_run=false

die() {
  printf 'error: %s\n' "$1" >&2
  printf '  next:   %s\n' "${2:-${0##*/} --help}" >&2
  exit 2
}

# need NAME VALUE PATTERN WANTED: the option was given, and looks as it should.
need() {
  local name=$1 value=$2 pattern=$3 wanted=$4
  [[ -n $value ]] || die "--$name must be given: $wanted"
  [[ $value =~ ^($pattern)$ ]] || die "--$name cannot be used: $value" "$wanted"
}

# The sizes of Azure with SGX by DCAP: DCsv3 and DCdsv3 (Microsoft, "DC family" of sizes).
readonly SGX_SIZES='Standard_DC(1|2|4|8|16|24|32|48)d?s_v3'
readonly GROUP_FORM='[A-Za-z0-9_][-A-Za-z0-9_.()]{0,88}[-A-Za-z0-9_()]|[A-Za-z0-9_]'
readonly NAME_FORM='[a-z][-a-z0-9]{0,61}[a-z0-9]'
readonly LOCATION_FORM='[a-z][a-z0-9]{2,30}'

# Changes something: told first, and not done in a dry run.
az_do() {
  printf '+ az'
  printf ' %q' "$@"
  printf '\n'
  if [[ $dry_run == false ]]; then
    az "$@" --output none --only-show-errors
  fi
}

# Asks something: told first, and its answer is left in `answer`; empty in a dry run.
az_ask() {
  answer=
  printf '+ az'
  printf ' %q' "$@"
  printf '\n'
  if [[ $dry_run == false ]]; then
    answer=$(az "$@" --output tsv --only-show-errors)
  fi
}

# A size that the location has, and that this subscription may have.
check_size() {
  local location=$1 size=$2
  az_ask vm list-skus --location "$location" --size "$size" --resource-type virtualMachines \
    --query "[?name=='$size'] | [0].length(restrictions)"
  if [[ $dry_run == true || $answer == 0 ]]; then
    return
  fi
  if [[ -z $answer || $answer == None ]]; then
    die "$location has no machines of the size $size" "az vm list-skus --location $location --size Standard_DC --output table"
  fi
  die "this subscription may have no $size in $location" "ask for a quota of the family (DCSv3 or DDCSv3), or take another location"
}
