# apt.sh - to be sourced, with APT set: `apt` is apt-get with lists and a cache of its own in that folder, which needs no root rights.
# Its sources are this machine's.
mkdir -p "$APT"/{lists/partial,cache/archives/partial,log}
apt() {
    apt-get -qq -o Dir::State::Lists="$APT/lists" -o Dir::Cache="$APT/cache" -o Dir::Log="$APT/log" \
        -o Debug::NoLocking=1 -o APT::Sandbox::User= -o APT::Update::Post-Invoke::= "$@"
}
